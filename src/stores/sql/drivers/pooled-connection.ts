import { isConflict } from './errors.js'

/** Runs one statement on a connection of a pool. One that was given up takes its connection with it. */
export async function withPooled<C, T>(
  take: () => Promise<C>,
  run: (connection: C) => Promise<T>,
  giveBack: (connection: C, usable: boolean) => void,
  signal: AbortSignal,
): Promise<T> {
  const connection = await take()
  let given = false
  const give = (usable: boolean) => {
    if (!given) giveBack(connection, usable)
    given = true
  }
  if (signal.aborted) {
    give(true)
    throw signal.reason
  }
  const drop = () => give(false)
  signal.addEventListener('abort', drop, { once: true })
  try {
    const result = await run(connection)
    give(true)
    return result
  } catch (error) {
    // As pg's own pool does: what failed may be the connection, or the server at its end not the primary any more.
    give(isConflict(error))
    throw error
  } finally {
    signal.removeEventListener('abort', drop)
  }
}
