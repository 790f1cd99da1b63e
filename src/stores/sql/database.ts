import type { Connection, Row } from './drivers/connection.js'
import { type MysqlConnection, type MysqlPool, mysql } from './drivers/mysql.js'
import { type PostgresConnection, type PostgresPool, postgres } from './drivers/postgres.js'
import { type SqliteDatabase, sqlite } from './drivers/sqlite.js'

/** A database for {@link SqlCertCache}. The kind is detected by its methods, so no driver is imported here. */
export type SqlDatabase = PostgresPool | PostgresConnection | MysqlPool | MysqlConnection | SqliteDatabase

/**
 * Detects the driver and wraps the user's database.
 * @throws {TypeError} if it is not a supported database
 */
export function toConnection(database: SqlDatabase): Connection {
  const has = (method: string) => typeof (database as unknown as Row | null)?.[method] === 'function'
  if (has('execute')) return mysql(database as MysqlPool | MysqlConnection)
  if (has('query')) return postgres(database as PostgresPool | PostgresConnection)
  if (has('prepare') && has('exec')) return sqlite(database as SqliteDatabase)
  throw new TypeError(
    'SqlCertCache: database must be a pool or connection of pg or mysql2, or a database of better-sqlite3 or node:sqlite',
  )
}
