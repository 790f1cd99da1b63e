import { StoreError } from '../../../util/errors.js'
import type { Connection, Row, SqlValue } from './connection.js'
import { createMutex } from './mutex.js'
import { withPooledConnection } from './pooled-connection.js'

/** The part of a connection of `mysql2/promise` that this store uses. */
export interface MysqlConnection {
  // biome-ignore lint/suspicious/noExplicitAny: the driver's own types say so
  execute(statement: { sql: string; values: any; rowsAsArray: false; nestTables: false }): Promise<[any, any]>
}

/** The part of a pool of `mysql2/promise` that this store uses. */
export interface MysqlPool extends MysqlConnection {
  getConnection(): Promise<MysqlConnection & { release(): void; destroy(): void }>
}

/**
 * Wraps a pool or connection of `mysql2/promise`. Uses only prepared statements: `query()` would escape the values on
 * the client, by rules that depend on the server's `sql_mode`.
 * @throws {TypeError} if `database` is from `mysql2` without promises
 */
export function mysql(database: MysqlPool | MysqlConnection): Connection {
  if (typeof (database as { promise?: unknown }).promise === 'function') {
    throw new TypeError(
      'SqlCertCache: database must have promises: pass pool.promise(), or import mysql2/promise',
    )
  }
  const runExclusively = createMutex()
  const run = async (sql: string, values: readonly SqlValue[], signal: AbortSignal) => {
    const execute = async (connection: MysqlConnection) => {
      await assertAutocommit(connection)
      signal.throwIfAborted()
      return connection.execute({ sql, values: [...values], ...plainRows })
    }
    const [result] = await ('getConnection' in database
      ? withPooledConnection(
          () => database.getConnection(),
          execute,
          (connection, isUsable) => (isUsable ? connection.release() : connection.destroy()),
          signal,
        )
      : runExclusively(() => execute(database), signal))
    return result
  }
  return {
    dialect: 'MySQL',
    rows: async (...args) => (await run(...args)) as Row[],
    change: async (...args) => ((await run(...args)) as { affectedRows: number }).affectedRows,
  }
}

/** Overrides the pool's own settings. */
const plainRows = { rowsAsArray: false, nestTables: false } as const

/** The connections with autocommit on. These are the underlying ones: a pool wraps them again for each use. */
const checkedConnections = new WeakSet<object>()

/**
 * Rejects if autocommit is off: writes would be invisible to other connections, and lost when the connection ends.
 * @throws {StoreError} `ERR_STORE_FAILED`
 */
async function assertAutocommit(connection: MysqlConnection & { connection?: object }): Promise<void> {
  const underlying = connection.connection ?? connection
  if (checkedConnections.has(underlying)) return
  const sql = 'select @@autocommit as autocommit'
  const [[row]] = await connection.execute({ sql, values: [], ...plainRows })
  if (Number(row?.autocommit) !== 1) {
    throw new StoreError(
      'ERR_STORE_FAILED',
      'cannot use the connections to MySQL: autocommit is off, so no write would be stored. Set autocommit to 1 for this pool, or remove the server setting or hook that turns it off.',
    )
  }
  checkedConnections.add(underlying)
}
