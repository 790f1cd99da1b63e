import type { Clock } from './clock.js'

/** Let's Encrypt allows an account 300 new orders per 3 hours: at most so many are started in any 3 hours. */
const burst = 100
const everyMs = 54_000

/** How fast orders that no handshake waits for may follow each other: 100 at once, then one each 54 s. */
export class OrderPace {
  /** When the orders started so far would all have been started at the steady rate. */
  #paidUntil = 0

  constructor(private readonly clock: Clock) {}

  /** 0: one order may be started, and counts as started. Else how long to wait before asking again, in ms. */
  take(): number {
    const now = this.clock.now()
    const paidUntil = Math.max(this.#paidUntil, now - burst * everyMs) + everyMs
    if (paidUntil > now) return paidUntil - now
    this.#paidUntil = paidUntil
    return 0
  }

  /** The CA has had enough: no more at once. */
  exhaust(): void {
    this.#paidUntil = Math.max(this.#paidUntil, this.clock.now())
  }
}
