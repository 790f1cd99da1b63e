import { isConflict } from './errors.js'

/** Runs a statement on a connection of a pool. If `signal` aborts during the statement, the connection is destroyed. */
export async function withPooledConnection<C, T>(
  acquire: () => Promise<C>,
  run: (connection: C) => Promise<T>,
  release: (connection: C, isUsable: boolean) => void,
  signal: AbortSignal,
): Promise<T> {
  const connection = await acquire()
  let isReleased = false
  const releaseOnce = (isUsable: boolean) => {
    if (!isReleased) release(connection, isUsable)
    isReleased = true
  }
  if (signal.aborted) {
    releaseOnce(true)
    throw signal.reason
  }
  const destroy = () => releaseOnce(false)
  signal.addEventListener('abort', destroy, { once: true })
  try {
    const result = await run(connection)
    releaseOnce(true)
    return result
  } catch (error) {
    // Destroy the connection, as pg's pool.query() does: it may be broken, or its server may no longer be the primary.
    releaseOnce(isConflict(error))
    throw error
  } finally {
    signal.removeEventListener('abort', destroy)
  }
}
