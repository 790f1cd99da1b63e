import { type Clock, monotonic } from './clock.js'

/** A token bucket: `burst` operations at once, then one per `intervalMs`. */
export class RateLimiter {
  /** The time at which every operation so far would be paid for at the steady rate. */
  #paidUntil = Number.NEGATIVE_INFINITY
  readonly #now: () => number
  readonly #burst: number
  readonly #intervalMs: number

  constructor(clock: Clock, burst: number, intervalMs: number) {
    this.#now = monotonic(clock)
    this.#burst = burst
    this.#intervalMs = intervalMs
  }

  /** Milliseconds until an operation is allowed; 0 if one is allowed now. */
  get waitMs(): number {
    return Math.max(0, this.#next() - this.#now())
  }

  /** Takes a token and returns 0, or returns the milliseconds to wait before the next attempt. */
  tryAcquire(): number {
    const { waitMs } = this
    if (waitMs === 0) this.#paidUntil = this.#next()
    return waitMs
  }

  /** Empties the bucket: the next operation is allowed after `intervalMs`. */
  drain(): void {
    this.#paidUntil = this.#now()
  }

  #next(): number {
    return Math.max(this.#paidUntil, this.#now() - this.#burst * this.#intervalMs) + this.#intervalMs
  }
}
