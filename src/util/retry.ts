import { type Clock, monotonic } from './clock.js'
import { sleep } from './deadline.js'

/** When and how long {@link retry} waits between two attempts. */
export interface RetryOptions {
  /**
   * Returns the milliseconds until the next attempt, or `undefined` to reject with `thrown`. `index` is the number of
   * the attempt that failed, from 0; `elapsedMs` the time since the first attempt started.
   */
  delayAfter(thrown: unknown, index: number, elapsedMs: number): number | undefined
  clock: Clock
  /** Ends a delay. A running attempt is not interrupted. */
  signal: AbortSignal
}

/**
 * Calls `attempt` with 0, 1, 2 … until it resolves.
 * @throws the error for which `delayAfter` returns `undefined`; the signal's reason
 */
export async function retry<T>(
  attempt: (index: number) => Promise<T>,
  { delayAfter, clock, signal }: RetryOptions,
): Promise<T> {
  const now = monotonic(clock)
  const startedAt = now()
  for (let index = 0; ; index++) {
    try {
      return await attempt(index)
    } catch (thrown) {
      const delayMs = delayAfter(thrown, index, now() - startedAt)
      if (delayMs === undefined) throw thrown
      await sleep(delayMs, clock, signal)
    }
  }
}
