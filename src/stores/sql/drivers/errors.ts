import { type ServiceErrorCode, StoreError, toError } from '../../../util/errors.js'
import type { Dialect } from './connection.js'

/** What the drivers' errors tell. */
interface SqlErrorLike {
  readonly message: string
  /** `pg`: an SQLSTATE; the others: a name; of the network: Node's own. */
  readonly code?: string
  /** mysql2 */
  readonly errno?: number
  /** node:sqlite; its lower 8 bits are the primary code. */
  readonly errcode?: number
}

// https://www.postgresql.org/docs/current/errcodes-appendix.html, of each driver's codes the telling ones
// https://mariadb.com/kb/en/mariadb-error-code-reference/, https://www.sqlite.org/rescode.html
const rules: readonly [ServiceErrorCode, RegExp][] = [
  ['ERR_STORE_CREDENTIALS', /^(28...|ER_ACCESS_DENIED(_NO_PASSWORD)?_ERROR)$/],
  [
    'ERR_STORE_PERMISSION',
    /^(42501|ER_(DBACCESS|TABLEACCESS|COLUMNACCESS|SPECIFIC_ACCESS)_DENIED_ERROR|SQLITE_(3|23))$/,
  ],
  ['ERR_STORE_CONTAINER', /^(42P01|3D000|3F000|ER_NO_SUCH_TABLE|ER_BAD_DB_ERROR)$/],
  // The server's own bounds: of a statement, of a wait for a lock.
  ['ERR_STORE_TIMEOUT', /^(57014|55P03|ER_(QUERY_TIMEOUT|STATEMENT_TIMEOUT|LOCK_WAIT_TIMEOUT))$/],
  [
    'ERR_STORE_UNREACHABLE',
    /^(08...|57P0.|E(CONN|HOST|NET)[A-Z]+|EPIPE|ENOTFOUND|EAI_AGAIN|ETIMEDOUT|ENOENT|PROTOCOL_CONNECTION_LOST|ER_SERVER_SHUTDOWN|SQLITE_14)$/,
  ],
]
/** Not a lack of permission, which is done without a lock: what can't be written is not to be ordered. */
const readOnly =
  /^(25006|ER_(OPTION_PREVENTS_STATEMENT|READ_ONLY_MODE|CANT_EXECUTE_IN_READ_ONLY_TRANSACTION)|SQLITE_8)$/
/** Lost to others in a race: asking again is all there is to do. */
const conflict = /^(40001|40P01|ER_LOCK_DEADLOCK|ER_CHECKREAD|SQLITE_[56])$/

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
 * The driver's error as ours. The cause is a copy of the telling fields: the original may hold the statement's
 * values, which are private keys.
 */
export function sqlErrorFrom(thrown: unknown, what: string, dialect: Dialect, table: string): StoreError {
  const error = toError(thrown)
  const told = codeOf(error)
  const code = rules.find(([, codes]) => codes.test(told))?.[0] ?? classifyText(error.message)
  const cause = Object.assign(new Error(error.message), { name: error.name, code: told })
  const isReadOnly = readOnly.test(told) || /readonly database/.test(error.message)
  const whatToDo = isReadOnly ? connectToWriter : advice[code]
  return new StoreError(code, `${dialect} could not ${what} in table ${table} (${told}). ${whatToDo}`, {
    cause,
  })
}

export const sqlTimeout = (ms: number, what: string, dialect: Dialect, table: string): StoreError =>
  new StoreError(
    'ERR_STORE_TIMEOUT',
    `${dialect} took longer than ${ms} ms to ${what} in table ${table}. ${advice.ERR_STORE_TIMEOUT}`,
  )

export const isConflict = (thrown: unknown): boolean => {
  const error = toError(thrown)
  return conflict.test(codeOf(error)) || /^database (table )?is locked/.test(error.message)
}

/** Another machine made the table between our look and our `create`, which PostgreSQL reports in three ways. */
export const isThereByNow = (thrown: unknown): boolean =>
  /^(42P07|42710|23505)$/.test(codeOf(toError(thrown)))

const sqliteNames: Record<string, number> = {
  SQLITE_PERM: 3,
  SQLITE_BUSY: 5,
  SQLITE_LOCKED: 6,
  SQLITE_READONLY: 8,
  SQLITE_CANTOPEN: 14,
  SQLITE_AUTH: 23,
}

/** One code for what the drivers call `code`, `errno` and `errcode`; SQLite's as `SQLITE_` and its number. */
function codeOf(error: Error & Partial<SqlErrorLike>): string {
  if (typeof error.errcode === 'number') return `SQLITE_${error.errcode & 0xff}`
  const primary = /^SQLITE_[A-Z]+/.exec(error.code ?? '')?.[0]
  if (primary) return `SQLITE_${sqliteNames[primary] ?? primary.slice(7)}`
  return error.code ?? error.name
}

/** What comes without a code. */
function classifyText(message: string): ServiceErrorCode {
  if (/no such table/.test(message)) return 'ERR_STORE_CONTAINER'
  if (/timeout/i.test(message)) return 'ERR_STORE_TIMEOUT'
  if (/^Connection terminated|not queryable|closed state/.test(message)) return 'ERR_STORE_UNREACHABLE'
  return 'ERR_STORE_FAILED'
}
