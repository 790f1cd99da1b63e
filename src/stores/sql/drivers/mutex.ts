import { ignoreFailure } from '../../../util/safe-call.js'

/**
 * Returns a function that runs the statements of a single connection one after the other. The drivers also have
 * such a queue, but they send a queued statement even if its caller has timed out. This one rejects without running it.
 */
export function createMutex(): <T>(run: () => Promise<T>, signal: AbortSignal) => Promise<T> {
  let last: Promise<unknown> = Promise.resolve()
  return (run, signal) => {
    const turn = last.then(() => {
      signal.throwIfAborted()
      return run()
    })
    last = ignoreFailure(turn, 'the caller handles it, and the next statement runs in any case')
    return turn
  }
}
