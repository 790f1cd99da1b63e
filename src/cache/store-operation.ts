import { type Clock, systemClock } from '../util/clock.js'
import { withDeadline } from '../util/deadline.js'
import { type CertCacheError, StoreError } from '../util/errors.js'
import { type RetryOptions, retry } from '../util/retry.js'

/** The time-out, retries and errors of a store's operations. `description` completes "cannot …" in messages. */
interface RunnerOptions<Miss> {
  timeoutMs: number
  /** When to retry within the time-out. A {@link StoreError} is final. Default: never. */
  delayAfter?: RetryOptions['delayAfter']
  /** Default: the system clock. */
  clock?: Clock
  /** Returns the message of the `ERR_STORE_TIMEOUT`. */
  timeoutMessage(description: string): string
  /** Converts an error other than a {@link StoreError}. For a miss returns `undefined`, with which the operation resolves. */
  toStoreError(thrown: unknown, description: string): CertCacheError | Miss
}

/**
 * Runs one operation of a store.
 * @throws {StoreError} if the operation fails or times out; the reason of `signal`
 */
export type RunOperation<Miss = never> = <T>(
  description: string,
  signal: AbortSignal | undefined,
  operation: (signal: AbortSignal) => Promise<T>,
) => Promise<T | Miss>

/** Returns a function that runs the operations of a store with one time-out, retries them, and converts their errors. */
export function createRunner<Miss extends undefined = never>(
  options: RunnerOptions<Miss>,
): RunOperation<Miss> {
  const { timeoutMs, clock = systemClock, timeoutMessage, toStoreError } = options
  const delayAfter: RetryOptions['delayAfter'] = (thrown, ...progress) =>
    thrown instanceof StoreError ? undefined : options.delayAfter?.(thrown, ...progress)
  return async (description, signal, operation) => {
    signal?.throwIfAborted()
    const attempts = (attemptSignal: AbortSignal) =>
      retry(() => operation(attemptSignal), { delayAfter, clock, signal: attemptSignal })
    const error = () => new StoreError('ERR_STORE_TIMEOUT', timeoutMessage(description))
    try {
      return await withDeadline(attempts, { ms: timeoutMs, clock, error, signal })
    } catch (thrown) {
      if (signal?.aborted || thrown instanceof StoreError) throw thrown
      const storeError = toStoreError(thrown, description)
      if (storeError === undefined) return storeError
      throw storeError
    }
  }
}
