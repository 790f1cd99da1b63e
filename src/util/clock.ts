/** Time as the library sees it, so that tests can pass virtual time. */
export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number
  /**
   * Calls `fn` once after `ms` (at most 2^31-1); the returned function cancels.
   * Only a timer with `keepAlive` keeps the process running.
   */
  after(ms: number, fn: () => void, options?: { keepAlive?: boolean }): () => void
}

/** How much the clocks of a fleet, and of a CA, may differ. One that differs by more is wrong. */
export const clockSkewMs = 300_000

/** @throws {TypeError} naming the option */
export function checkClock(name: string, value: unknown): Clock {
  const { now, after } = Object(value) as Partial<Clock>
  if (typeof now === 'function' && typeof after === 'function') return value as Clock
  throw new TypeError(`${name} must be a Clock: an object with now and after`)
}

export const systemClock: Clock = {
  now: () => Date.now(),
  after(ms, fn, options) {
    const timer = setTimeout(fn, ms)
    if (!options?.keepAlive) timer.unref()
    return () => clearTimeout(timer)
  },
}
