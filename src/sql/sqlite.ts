import type { Connection, Row } from './database.js'

/** What is used of a database of `better-sqlite3` or `node:sqlite`. */
export interface SqliteDatabase {
  exec(sql: string): unknown
  // biome-ignore-start lint/suspicious/noExplicitAny: the drivers' own types say so
  prepare(sql: string): {
    all(...values: any[]): unknown[]
    run(...values: any[]): { changes: number | bigint }
  }
  // biome-ignore-end lint/suspicious/noExplicitAny: as above
}

/** Each statement is done when it returns: there is nothing to abort. */
export const sqlite = (database: SqliteDatabase): Connection => ({
  rows: async (statement, values) => database.prepare(statement).all(...values) as Row[],
  change: async (statement, values) => Number(database.prepare(statement).run(...values).changes),
})
