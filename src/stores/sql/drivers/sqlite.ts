import type { Connection, Row } from './connection.js'

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

export const sqlite = (database: SqliteDatabase): Connection => ({
  async rows(statement, values, signal) {
    await aTurn(signal)
    return database.prepare(statement).all(...values) as Row[]
  },
  async change(statement, values, signal) {
    await aTurn(signal)
    return Number(database.prepare(statement).run(...values).changes)
  },
})

/** A statement is done when it returns: between many of them, timers and sockets need their turn. */
async function aTurn(signal: AbortSignal): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve))
  signal.throwIfAborted()
}
