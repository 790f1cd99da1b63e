import type { RenewAtSource, RenewalTime } from './renewal-time.js'

/**
 * Schedules the renewal of a certificate in memory, and the checks whether the store has a newer one. Holds only a few
 * numbers, because there are thousands of schedules. Times are in milliseconds since the epoch.
 */
export class RenewalSchedule {
  /** When the certificate is due for renewal. */
  renewAt: number
  renewAtSource: RenewAtSource
  /** Whether the CA's suggested renewal window has been looked up. Also true if the CA suggests none. */
  windowFetched = false
  /** The interval between checks while handshakes use the certificate: 1/20 of the lifetime, at most 1 hour. */
  readonly checkEveryMs: number
  #checkAt: number

  /** @param isNew whether the certificate was just issued, as opposed to read from the store */
  constructor(lifetimeMs: number, renewal: RenewalTime, now: number, isNew: boolean) {
    this.checkEveryMs = Math.ceil(Math.min(3_600_000, lifetimeMs / 20))
    // Spread the checks of certificates that were read at the same time.
    this.#checkAt = now + this.checkEveryMs * (isNew ? 1 : Math.random())
    this.renewAt = renewal.at
    this.renewAtSource = renewal.source
  }

  /**
   * When a handshake should start background work: a renewal attempt or a check.
   * @param notBefore the earliest time of the next renewal attempt
   */
  wakeAt(notBefore = 0): number {
    return Math.min(Math.max(this.renewAt, notBefore), this.#checkAt)
  }

  /** When the work is due if there are no handshakes: the checks are then 6 times less frequent. */
  idleWakeAt(notBefore = 0): number {
    return Math.min(Math.max(this.renewAt, notBefore), this.#checkAt + 5 * this.checkEveryMs)
  }

  /** Sets the renewal time once the CA's suggested window, or that there is none, is known. */
  setWindowTime({ at, source }: RenewalTime): void {
    this.renewAt = at
    this.renewAtSource = source
    this.windowFetched = true
  }

  /** Makes the next check due no later than `now`. */
  checkBy(now: number): void {
    this.#checkAt = Math.min(this.#checkAt, now)
  }

  /** Records a comparison with the store and schedules the next one. */
  markChecked(now: number): void {
    this.#checkAt = now + this.checkEveryMs * (1 + Math.random() / 5)
  }
}
