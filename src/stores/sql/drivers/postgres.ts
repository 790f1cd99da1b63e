import type { Connection, Row, SqlValue } from './connection.js'
import { createMutex } from './mutex.js'
import { withPooled } from './pooled-connection.js'

/** What is used of a `Client` or `PoolClient` of `pg`. */
export interface PostgresConnection {
  // biome-ignore lint/suspicious/noExplicitAny: the driver's own types say so
  query(text: string, values: any[]): Promise<{ rows: any[]; rowCount: number | null }>
}

/** What is used of a `Pool` of `pg`. */
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

export function postgres(given: PostgresPool | PostgresConnection): Connection {
  const alone = createMutex()
  const run = (statement: string, values: readonly SqlValue[], signal: AbortSignal) => {
    let position = 0
    const text = statement.replace(/\?/g, () => `$${++position}`)
    const query = (connection: PostgresConnection) => connection.query(text, [...values])
    return isPool(given) ? onPool(given, query, signal) : alone(() => query(given), signal)
  }
  return {
    rows: async (...what) => (await run(...what)).rows as Row[],
    change: async (...what) => (await run(...what)).rowCount ?? 0,
  }
}

const isPool = (given: PostgresPool | PostgresConnection): given is PostgresPool =>
  typeof (given as PostgresPool).totalCount === 'number'

function onPool<T>(
  pool: PostgresPool,
  query: (connection: PostgresConnection) => Promise<T>,
  signal: AbortSignal,
) {
  // A connection that breaks says so twice: by its query, and by an event that would end the process.
  const broken = () => {}
  return withPooled(
    async () => {
      const connection = await pool.connect()
      connection.on('error', broken)
      return connection
    },
    query,
    (connection, usable) => {
      connection.off('error', broken)
      connection.release(!usable)
    },
    signal,
  )
}
