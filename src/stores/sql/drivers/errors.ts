import { type ServiceErrorCode, StoreError, toError } from '../../../util/errors.js'
import type { Dialect } from './connection.js'

/** The fields of the drivers' errors that are used. */
interface SqlErrorLike {
  /** An SQLSTATE (`pg`), a name (other drivers), or Node's code (network errors). */
  readonly code?: string
  /** The numeric code of `mysql2`. */
  readonly errno?: number
  /** The extended result code of `node:sqlite`. The lower 8 bits are the primary code. */
  readonly errcode?: number
}

// The codes of each database that determine a StoreErrorCode:
// https://www.postgresql.org/docs/current/errcodes-appendix.html
// https://mariadb.com/kb/en/mariadb-error-code-reference/
// https://www.sqlite.org/rescode.html
const rules: readonly [ServiceErrorCode, RegExp][] = [
  ['ERR_STORE_CREDENTIALS', /^(28...|ER_ACCESS_DENIED(_NO_PASSWORD)?_ERROR)$/],
  [
    'ERR_STORE_PERMISSION',
    /^(42501|ER_(DBACCESS|TABLEACCESS|COLUMNACCESS|SPECIFIC_ACCESS)_DENIED_ERROR|SQLITE_(3|23))$/,
  ],
  ['ERR_STORE_CONTAINER', /^(42P01|3D000|3F000|ER_NO_SUCH_TABLE|ER_BAD_DB_ERROR)$/],
  // The server's own time-outs: of a statement, and of a wait for a lock.
  ['ERR_STORE_TIMEOUT', /^(57014|55P03|ER_(QUERY_TIMEOUT|STATEMENT_TIMEOUT|LOCK_WAIT_TIMEOUT))$/],
  [
    'ERR_STORE_UNREACHABLE',
    /^(08...|57P0.|E(CONN|HOST|NET)[A-Z]+|EPIPE|ENOTFOUND|EAI_AGAIN|ETIMEDOUT|ENOENT|PROTOCOL_CONNECTION_LOST|ER_SERVER_SHUTDOWN|SQLITE_14)$/,
  ],
]
/**
 * Not ERR_STORE_PERMISSION: with that code a machine orders without a lock, but here it could not store the
 * certificate.
 */
const readOnly =
  /^(25006|ER_(OPTION_PREVENTS_STATEMENT|READ_ONLY_MODE|CANT_EXECUTE_IN_READ_ONLY_TRANSACTION)|SQLITE_8)$/
/** Conflicts with concurrent transactions. The statement can be retried. */
const conflict = /^(40001|40P01|ER_LOCK_DEADLOCK|ER_CHECKREAD|SQLITE_[56])$/

/** What to do about each error: the last sentence of its message. */
const advice: Record<ServiceErrorCode, string> = {
  ERR_STORE_CREDENTIALS: 'Check the user and password that the pool connects with.',
  ERR_STORE_PERMISSION:
    'Grant the user select, insert, update and delete on the table and on its _locks table.',
  ERR_STORE_CONTAINER:
    'Check which database the pool connects to; call createTables() once to make the tables.',
  ERR_STORE_UNREACHABLE:
    'Check host and port, DNS, whether the server runs and whether a firewall blocks the way.',
  ERR_STORE_TIMEOUT: 'It may be overloaded or unreachable from here, or the pool have too few connections.',
  ERR_STORE_FAILED: 'See the cause for the database’s own code.',
}

const connectToWriter =
  'It is read-only: connect to the primary, not to a replica, as a user and to a file that may write.'

/**
 * Converts an error of a driver. The cause is a copy of the relevant fields: the driver's error may hold the values of
 * the statement, which are private keys.
 */
export function toStoreError(
  thrown: unknown,
  description: string,
  dialect: Dialect,
  table: string,
): StoreError {
  const error = toError(thrown)
  const driverCode = codeOf(error)
  const code = rules.find(([, codes]) => codes.test(driverCode))?.[0] ?? classifyMessage(error.message)
  const cause = Object.assign(new Error(error.message), { name: error.name, code: driverCode })
  const isReadOnly = readOnly.test(driverCode) || /readonly database/.test(error.message)
  const suggestion = isReadOnly ? connectToWriter : advice[code]
  return new StoreError(
    code,
    `${dialect} could not ${description} in table ${table} (${driverCode}). ${suggestion}`,
    { cause },
  )
}

/** Returns the message of an operation that took longer than `ms`. */
export const timeoutMessage = (ms: number, description: string, dialect: Dialect, table: string): string =>
  `${dialect} took longer than ${ms} ms to ${description} in table ${table}. ${advice.ERR_STORE_TIMEOUT}`

/** Returns whether the statement conflicted with a concurrent transaction and can be retried. */
export const isConflict = (thrown: unknown): boolean => {
  const error = toError(thrown)
  return conflict.test(codeOf(error)) || /^database (table )?is locked/.test(error.message)
}

/** Returns whether another machine has just created the table. PostgreSQL reports this with three different codes. */
export const isAlreadyCreated = (thrown: unknown): boolean =>
  /^(42P07|42710|23505)$/.test(codeOf(toError(thrown)))

const sqliteNames: Record<string, number> = {
  SQLITE_PERM: 3,
  SQLITE_BUSY: 5,
  SQLITE_LOCKED: 6,
  SQLITE_READONLY: 8,
  SQLITE_CANTOPEN: 14,
  SQLITE_AUTH: 23,
}

/** Returns the error's code, whichever field the driver uses. For SQLite: `SQLITE_` and the primary code number. */
function codeOf(error: Error & Partial<SqlErrorLike>): string {
  if (typeof error.errcode === 'number') return `SQLITE_${error.errcode & 0xff}`
  const primary = /^SQLITE_[A-Z]+/.exec(error.code ?? '')?.[0]
  if (primary) return `SQLITE_${sqliteNames[primary] ?? primary.slice(7)}`
  return error.code ?? error.name
}

/** Classifies an error without a known code. */
function classifyMessage(message: string): ServiceErrorCode {
  if (/no such table/.test(message)) return 'ERR_STORE_CONTAINER'
  if (/timeout/i.test(message)) return 'ERR_STORE_TIMEOUT'
  if (/^Connection terminated|not queryable|closed state/.test(message)) return 'ERR_STORE_UNREACHABLE'
  return 'ERR_STORE_FAILED'
}
