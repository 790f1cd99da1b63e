import type { Clock } from '../util/clock.js'
import { RateLimiter } from '../util/rate-limiter.js'
import { isRateLimited } from '../util/verdict.js'

/**
 * Orders that no handshake waits for: 100 at once, then one every 54 s. That stays within Let's Encrypt's limit of 300
 * new orders per account in any 3 hours.
 */
const bulkBurst = 100
const bulkIntervalMs = 54_000

/** Admits orders that no handshake waits for. Other orders, and renewals, are not limited. */
export class OrderBudget {
  readonly #bulk: RateLimiter

  constructor(clock: Clock) {
    this.#bulk = new RateLimiter(clock, bulkBurst, bulkIntervalMs)
  }

  /** Milliseconds until an order is admitted. */
  get waitMs(): number {
    return this.#bulk.waitMs
  }

  /** Admits an order and returns 0, or returns the milliseconds to wait before the next attempt. */
  tryAdmit(): number {
    return this.#bulk.tryAcquire()
  }

  /** After an error of the CA that all orders are limited, drops the rest of the burst. */
  onFailed(error: Error): void {
    if (isRateLimited(error)) this.#bulk.drain()
  }
}
