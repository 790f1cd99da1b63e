import type { Clock } from './clock.js'

/** How fast something may be done: `burst` times at once, then once each `everyMs`. */
export class Pace {
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
  get wait(): number {
    return Math.max(0, this.#next() - this.clock.now())
  }

  /** 0: it may be done once, and counts as done. Else how long to wait before asking again, in ms. */
  take(): number {
    const { wait } = this
    if (wait === 0) this.#paidUntil = this.#next()
    return wait
  }

  /** No more at once. */
  exhaust(): void {
    this.#paidUntil = this.clock.now()
  }

  #next(): number {
    const now = this.clock.now()
    // Later than now only if the clock was set back.
    this.#paidUntil = Math.min(this.#paidUntil, now)
    return Math.max(this.#paidUntil, now - this.burst * this.everyMs) + this.everyMs
  }
}
