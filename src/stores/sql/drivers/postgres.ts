import type { Connection, Row, SqlValue } from './connection.js'
import { createMutex } from './mutex.js'
import { withPooledConnection } from './pooled-connection.js'

/** The part of a `Client` or `PoolClient` of `pg` that this store uses. */
export interface PostgresConnection {
  // biome-ignore lint/suspicious/noExplicitAny: the driver's own types say so
  query(text: string, values: any[]): Promise<{ rows: any[]; rowCount: number | null }>
}

/** The part of a `Pool` of `pg` that this store uses. */
export interface PostgresPool extends PostgresConnection {
  readonly totalCount: number
  connect(): Promise<
    PostgresConnection & {
      release(destroy?: boolean): void
      on(event: 'error', listener: () => void): unknown
      off(event: 'error', listener: () => void): unknown
    }
  >
}

/** Wraps a pool or client of `pg`. */
export function postgres(database: PostgresPool | PostgresConnection): Connection {
  const runExclusively = createMutex()
  // A broken connection rejects the query and also emits 'error', which without a listener would end the process.
  const ignoreError = () => {}
  const run = (statement: string, values: readonly SqlValue[], signal: AbortSignal) => {
    let position = 0
    const text = statement.replace(/\?/g, () => `$${++position}`)
    const query = (connection: PostgresConnection) => connection.query(text, [...values])
    if (!('totalCount' in database)) return runExclusively(() => query(database), signal)
    return withPooledConnection(
      async () => {
        const connection = await database.connect()
        connection.on('error', ignoreError)
        return connection
      },
      query,
      (connection, isUsable) => {
        connection.off('error', ignoreError)
        connection.release(!isUsable)
      },
      signal,
    )
  }
  return {
    dialect: 'PostgreSQL',
    rows: async (...args) => (await run(...args)).rows as Row[],
    change: async (...args) => (await run(...args)).rowCount ?? 0,
  }
}
