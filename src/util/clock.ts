import { invalidOption } from './validate.js'

/** The source of time for the whole library. Tests inject virtual time. */
export interface Clock {
  /** Returns the current time in milliseconds since the epoch. */
  now(): number
  /**
   * Calls `fn` once, after `ms` milliseconds (at most 2^31-1). Returns a function that cancels the call.
   * A timer keeps the process running only with `keepAlive`.
   */
  after(ms: number, fn: () => void, options?: { keepAlive?: boolean }): () => void
}

/** The tolerated difference between the clocks of two machines, or of a machine and a CA: 5 minutes. */
export const clockSkewMs = 300_000

/**
 * Returns `value` if it implements {@link Clock}.
 * @throws {TypeError} naming the option
 */
export function checkClock(name: string, value: unknown): Clock {
  const { now, after } = Object(value) as Partial<Clock>
  if (typeof now === 'function' && typeof after === 'function') return value as Clock
  throw invalidOption(name, 'a Clock with the methods now and after', value)
}

/**
 * Returns a function that measures durations: it returns milliseconds that never decrease. For {@link systemClock} it
 * reads the monotonic clock. For another clock it ignores backward jumps.
 */
export function monotonic(clock: Clock): () => number {
  if (clock === systemClock) return () => performance.now()
  let lastNow = clock.now()
  let offsetMs = 0
  return () => {
    const now = clock.now()
    offsetMs += Math.max(0, lastNow - now)
    lastNow = now
    return now + offsetMs
  }
}

export const systemClock: Clock = {
  now: () => Date.now(),
  after(ms, fn, options) {
    const timer = setTimeout(fn, ms)
    if (!options?.keepAlive) timer.unref()
    return () => clearTimeout(timer)
  },
}
