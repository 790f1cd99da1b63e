import type { Connection, Row } from './connection.js'

/** The part of a database of `better-sqlite3` or `node:sqlite` that this store uses. */
export interface SqliteDatabase {
  exec(sql: string): unknown
  // biome-ignore-start lint/suspicious/noExplicitAny: the drivers' own types say so
  prepare(sql: string): {
    all(...values: any[]): unknown[]
    run(...values: any[]): { changes: number | bigint }
  }
  // biome-ignore-end lint/suspicious/noExplicitAny: as above
}

/** Wraps a database of `better-sqlite3` or `node:sqlite`. */
export const sqlite = (database: SqliteDatabase): Connection => ({
  dialect: 'SQLite',
  async rows(statement, values, signal) {
    await yieldToEventLoop(signal)
    return database.prepare(statement).all(...values) as Row[]
  },
  async change(statement, values, signal) {
    await yieldToEventLoop(signal)
    return Number(database.prepare(statement).run(...values).changes)
  },
})

/** Yields to the event loop, because statements are synchronous: many in a row would block timers and sockets. */
async function yieldToEventLoop(signal: AbortSignal): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve))
  signal.throwIfAborted()
}
