import type { Connection, Dialect, Row } from './drivers/connection.js'
import { type MysqlConnection, type MysqlPool, mysql } from './drivers/mysql.js'
import { type PostgresConnection, type PostgresPool, postgres } from './drivers/postgres.js'
import { type SqliteDatabase, sqlite } from './drivers/sqlite.js'

/** What {@link SqlCertCache} can be given: told apart by its methods, so that no driver is imported here. */
export type SqlDatabase = PostgresPool | PostgresConnection | MysqlPool | MysqlConnection | SqliteDatabase

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
