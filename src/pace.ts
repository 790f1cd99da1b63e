import type { Clock } from './clock.js'

/** How fast something may be done: `burst` times at once, then once each `everyMs`. */
export class Pace {
  /** When what was done so far would all have been done at the steady rate. */
  #paidUntil = 0

  constructor(
    private readonly clock: Clock,
    private readonly burst: number,
    private readonly everyMs: number,
  ) {}

  /** 0: it may be done once, and counts as done. Else how long to wait before asking again, in ms. */
  take(): number {
    const now = this.clock.now()
    const paidUntil = Math.max(this.#paidUntil, now - this.burst * this.everyMs) + this.everyMs
    if (paidUntil > now) return paidUntil - now
    this.#paidUntil = paidUntil
    return 0
  }

  /** No more at once. */
  exhaust(): void {
    this.#paidUntil = Math.max(this.#paidUntil, this.clock.now())
  }
}
