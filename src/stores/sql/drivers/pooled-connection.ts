import { abortable } from '../../../util/deadline.js'
import { isConflict } from './errors.js'

/** Runs a statement on a connection of a pool. If `signal` aborts during the statement, the connection is destroyed. */
export async function withPooledConnection<C, T>(
  acquire: () => Promise<C>,
  run: (connection: C) => Promise<T>,
  release: (connection: C, isUsable: boolean) => void,
  signal: AbortSignal,
): Promise<T> {
  const connection = await acquire()
  if (signal.aborted) {
    release(connection, true)
    throw signal.reason
  }
  try {
    const result = await abortable(run(connection), signal)
    release(connection, true)
    return result
  } catch (error) {
    // Destroy the connection, as pg's pool.query() does: it may be broken, or its server may no longer be the primary.
    release(connection, !signal.aborted && isConflict(error))
    throw error
  }
}
