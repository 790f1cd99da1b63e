import { StoreError } from '../../../util/errors.js'
import type { Connection, Row, SqlValue } from './connection.js'
import { createMutex } from './mutex.js'
import { withPooled } from './pooled-connection.js'

interface Statement {
  sql: string
  // biome-ignore lint/suspicious/noExplicitAny: the driver's own types say so
  values: any
  rowsAsArray: false
  nestTables: false
}

/** What is used of a connection of `mysql2/promise`. */
export interface MysqlConnection {
  // biome-ignore lint/suspicious/noExplicitAny: the driver's own types say so
  execute(statement: Statement): Promise<[any, any]>
}

/** What is used of a pool of `mysql2/promise`. */
export interface MysqlPool extends MysqlConnection {
  getConnection(): Promise<MysqlConnection & { release(): void; destroy(): void }>
}

/**
 * With statements prepared by the server, never with `query()`, which writes values into the statement by rules that
 * the server's `sql_mode` can change.
 */
export function mysql(given: MysqlPool | MysqlConnection): Connection {
  if (typeof (given as { promise?: unknown }).promise === 'function') {
    throw new TypeError('SqlCertCache: pass the pool’s promise(), or import mysql2/promise')
  }
  const alone = createMutex()
  const run = async (sql: string, values: readonly SqlValue[], signal: AbortSignal) => {
    const execute = async (connection: MysqlConnection) => {
      await assertAutocommit(connection)
      signal.throwIfAborted()
      return connection.execute({ sql, values: [...values], ...plainRows })
    }
    const [result] = await (isPool(given)
      ? onPool(given, execute, signal)
      : alone(() => execute(given), signal))
    return result
  }
  return {
    rows: async (...what) => (await run(...what)) as Row[],
    change: async (...what) => ((await run(...what)) as { affectedRows: number }).affectedRows,
  }
}

/** Whatever the pool's own settings say. */
const plainRows = { rowsAsArray: false, nestTables: false } as const

/** The connections that were asked. A pool wraps them anew each time it lends one. */
const autocommitting = new WeakSet<object>()

/** Without it what is written is lost when the connection ends, and seen by nobody until then. */
async function assertAutocommit(connection: MysqlConnection & { connection?: object }): Promise<void> {
  const underlying = connection.connection ?? connection
  if (autocommitting.has(underlying)) return
  const sql = 'select @@autocommit as autocommit'
  const [[row]] = await connection.execute({ sql, values: [], ...plainRows })
  if (Number(row?.autocommit) !== 1) {
    throw new StoreError(
      'ERR_STORE_FAILED',
      'autocommit is off on the connections to MySQL, so nothing would be stored: set it to 1 for this pool, or where the server or the pool’s hooks set it to 0',
    )
  }
  autocommitting.add(underlying)
}

const isPool = (given: MysqlPool | MysqlConnection): given is MysqlPool =>
  typeof (given as MysqlPool).getConnection === 'function'

const onPool = <T>(
  pool: MysqlPool,
  execute: (connection: MysqlConnection) => Promise<T>,
  signal: AbortSignal,
) =>
  withPooled(
    () => pool.getConnection(),
    execute,
    (connection, usable) => (usable ? connection.release() : connection.destroy()),
    signal,
  )
