import type { Clock } from '../util/clock.js'
import { RateLimiter } from '../util/rate-limiter.js'
import { verdictOf } from '../util/verdict.js'

/**
 * Limits orders that no handshake waits for, other than renewals: 100 at once, then one every 54 s. That stays within
 * Let's Encrypt's limit of 300 new orders per account in any 3 hours.
 */
export class OrderBudget extends RateLimiter {
  constructor(clock: Clock) {
    super(clock, 100, 54_000)
  }

  /** Drops the rest of the burst if the CA has rate-limited the account. */
  onFailed(error: Error): void {
    if (verdictOf(error).isRateLimited) this.drain()
  }
}
