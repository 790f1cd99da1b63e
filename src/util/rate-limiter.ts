import type { Clock } from './clock.js'

/** How fast something may be done: `burst` times at once, then once each `everyMs`. */
export class RateLimiter {
  /** When what was done so far would all have been done at the steady rate. */
  #paidUntil = 0

  private readonly clock: Clock
  private readonly burst: number
  private readonly everyMs: number

  constructor(clock: Clock, burst: number, everyMs: number) {
    this.clock = clock
    this.burst = burst
    this.everyMs = everyMs
  }

  /** How long to wait before it may be done, in ms; 0: now. */
  get waitMs(): number {
    return Math.max(0, this.#next() - this.clock.now())
  }

  /** 0: it may be done once, and counts as done. Else how long to wait before asking again, in ms. */
  tryAcquire(): number {
    const { waitMs } = this
    if (waitMs === 0) this.#paidUntil = this.#next()
    return waitMs
  }

  /** No more at once. */
  drain(): void {
    this.#paidUntil = this.clock.now()
  }

  #next(): number {
    const now = this.clock.now()
    // Later than now only if the clock was set back.
    this.#paidUntil = Math.min(this.#paidUntil, now)
    return Math.max(this.#paidUntil, now - this.burst * this.everyMs) + this.everyMs
  }
}
