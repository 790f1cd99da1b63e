import { failureMessage, firstLine } from '../../../cache/service-errors.js'
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

type Failure = readonly [reason: (dialect: Dialect) => string, advice: string]

/** For each error: why it occurred, and what to do. The driver's code follows the reason in parentheses. */
const failures: Record<ServiceErrorCode, Failure> = {
  ERR_STORE_CREDENTIALS: [
    (dialect) => `${dialect} rejected the credentials`,
    'Check the user and password of the pool.',
  ],
  ERR_STORE_PERMISSION: [
    () => 'the user lacks a privilege',
    'Grant the user select, insert, update and delete on the table and on its _locks table.',
  ],
  ERR_STORE_CONTAINER: [
    () => 'the table, schema or database does not exist',
    'Call createTables() at start, and check which database the pool connects to.',
  ],
  ERR_STORE_UNREACHABLE: [
    (dialect) => `cannot connect to ${dialect}`,
    'Check the host and port of the pool, DNS, whether the server runs, and whether a firewall blocks the connection.',
  ],
  ERR_STORE_TIMEOUT: [
    () => 'timed out',
    'Check the network, whether the server is overloaded, and whether the pool has enough connections.',
  ],
  ERR_STORE_FAILED: [
    () => 'unexpected error',
    'See the cause of this error for the message of the database.',
  ],
}

const fileUnreachable: Failure = [
  () => 'cannot open the database file',
  'Check its path, and the permissions of the file and its folder.',
]
const readOnlyDatabase: Failure = [
  () => 'the database is read-only',
  'Connect to the primary instead of a replica, as a user that can write. For SQLite, open the file for writing.',
]

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
  const [reason, advice] = failureOf(code, error, driverCode, dialect)
  const detail = code === 'ERR_STORE_UNREACHABLE' ? networkMessage(error, driverCode) : driverCode
  const message = failureMessage(description, nameOf(table), `${reason(dialect)} (${detail})`, advice)
  return new StoreError(code, message, { cause })
}

/** Returns the message of an operation that took longer than `ms`. */
export const timeoutMessage = (ms: number, description: string, table: string): string =>
  failureMessage(description, nameOf(table), `timed out after ${ms} ms`, failures.ERR_STORE_TIMEOUT[1])

/** Names a table in messages. */
export const nameOf = (table: string): string => `table "${table}"`

function failureOf(code: ServiceErrorCode, error: Error, driverCode: string, dialect: Dialect): Failure {
  if (readOnly.test(driverCode) || /readonly database/.test(error.message)) return readOnlyDatabase
  return code === 'ERR_STORE_UNREACHABLE' && dialect === 'SQLite' ? fileUnreachable : failures[code]
}

/** Returns the message of a network error, which names the host and port. */
function networkMessage(error: Error & { errors?: readonly Error[] }, driverCode: string): string {
  // A host with several addresses: Node's AggregateError has an error for each, and no message of its own.
  return firstLine(error.message || (error.errors?.[0]?.message ?? driverCode))
}

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
