import { type MysqlConnection, type MysqlPool, mysql } from './mysql.js'
import { type PostgresConnection, type PostgresPool, postgres } from './postgres.js'
import { type SqliteDatabase, sqlite } from './sqlite.js'
import type { Dialect } from './statements.js'

/** What {@link SqlCertCache} can be given: told apart by its methods, so that no driver is imported here. */
export type SqlDatabase = PostgresPool | PostgresConnection | MysqlPool | MysqlConnection | SqliteDatabase

export type SqlValue = string | Buffer
export type Row = Readonly<Record<string, unknown>>

/**
 * One statement, with `?` for its values. It has a connection for itself: one whose `signal` aborted before it had that
 * is never sent, since it could overwrite what was written after it was given up.
 */
export interface Connection {
  /** The rows of a `select`. */
  rows(statement: string, values: readonly SqlValue[], signal: AbortSignal): Promise<readonly Row[]>
  /** The number of rows that anything else changed. */
  change(statement: string, values: readonly SqlValue[], signal: AbortSignal): Promise<number>
}

export interface Database extends Connection {
  readonly dialect: Dialect
}

/** @throws {TypeError} for anything that is none of them */
export function databaseOf(given: SqlDatabase): Database {
  const has = (method: string) => typeof (given as unknown as Row | null)?.[method] === 'function'
  if (has('execute')) return { dialect: 'MySQL', ...mysql(given as MysqlPool | MysqlConnection) }
  if (has('query')) return { dialect: 'PostgreSQL', ...postgres(given as PostgresPool | PostgresConnection) }
  if (has('prepare') && has('exec')) return { dialect: 'SQLite', ...sqlite(given as SqliteDatabase) }
  throw new TypeError(
    'SqlCertCache: database must be a pool or connection of pg or mysql2, or a database of better-sqlite3 or node:sqlite',
  )
}
