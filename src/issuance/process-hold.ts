import { localRetryDelay } from '../certificates/retry-time.js'
import { type Clock, monotonic } from '../util/clock.js'
import { IssuanceError } from '../util/errors.js'

/** A longer `Retry-After` is not obeyed: the operator may correct the account at any time. */
const maxRetryAfterMs = 3_600_000
/** A failure that is this much later than the end of the last hold counts as the first. */
const forgetAfterMs = 3_600_000

/**
 * Postpones all orders of this process after a failure that concerns this process alone: it cannot reach the CA, its
 * account is refused, or its clock is wrong. Other machines order as before.
 *
 * One hold for all hosts, so that an outage costs one attempt at a time. Delays: 10 s, doubled up to 5 minutes; the CA's
 * `Retry-After`, up to 1 hour. An hour without a failure, or a certificate, starts the delays again at 10 s.
 */
export class ProcessHold {
  #cause: IssuanceError | undefined
  #failures = 0
  /** Monotonic milliseconds: the failure may be that of the system clock. */
  #until = 0
  readonly #clock: Clock
  readonly #now: () => number

  constructor(clock: Clock) {
    this.#clock = clock
    this.#now = monotonic(clock)
  }

  /** @throws {IssuanceError} `ERR_ISSUANCE_POSTPONED` while orders are postponed */
  assertNotHeld(name: string): void {
    const cause = this.#cause
    if (!cause || this.#now() >= this.#until) return
    const retryAt = this.#retryAt()
    const text = `the order for "${name}" is postponed until ${retryAt.toISOString()}, on this machine only: ${cause.message}`
    throw new IssuanceError('ERR_ISSUANCE_POSTPONED', text, { cause, problem: cause.problem, retryAt })
  }

  /**
   * Records a failure, and returns the time of the next attempt. Failures of orders that were in progress when the hold
   * began do not extend it.
   */
  failed(error: IssuanceError): Date {
    if (this.#now() >= this.#until) {
      if (this.#now() >= this.#until + forgetAfterMs) this.#failures = 0
      this.#cause = error
      this.#failures += 1
      const retryAfterMs = (error.retryAt?.getTime() ?? 0) - this.#clock.now()
      const delayMs = Math.max(localRetryDelay(this.#failures), Math.min(retryAfterMs, maxRetryAfterMs))
      this.#until = this.#now() + delayMs
    }
    return this.#retryAt()
  }

  /** Ends the hold: the CA has issued a certificate to this process. */
  end(): void {
    this.#cause = undefined
    this.#failures = 0
    this.#until = 0
  }

  #retryAt(): Date {
    return new Date(Math.ceil(this.#clock.now() + this.#until - this.#now()))
  }
}
