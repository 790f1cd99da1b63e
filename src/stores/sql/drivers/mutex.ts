import { ignoreFailure } from '../../../util/safe-call.js'

/** Runs a function after all earlier ones have settled. Rejects without running it if `signal` has aborted by then. */
type Mutex = <T>(run: () => Promise<T>, signal: AbortSignal) => Promise<T>

/**
 * Returns a function that runs the statements of a single connection one after the other. The drivers have such a queue
 * too, but they send a queued statement even if its caller has timed out.
 */
export function createMutex(): Mutex {
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
