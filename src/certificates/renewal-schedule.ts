import type { RenewAtSource, RenewalTime } from './renewal-time.js'

const minuteMs = 60_000
const hourMs = 60 * minuteMs
/** A certificate without handshakes is compared with the store this many times less often. */
const idleFactor = 6

/**
 * Schedules the renewal of a certificate in memory, and the checks whether the store has a newer one. Holds only a few
 * numbers, because there are thousands of schedules. Times are in milliseconds since the epoch.
 */
export class RenewalSchedule {
  /** When the certificate is due for renewal. */
  renewAt = 0
  renewAtSource: RenewAtSource = 'lifetime'
  /** Whether the CA's suggested renewal window has been looked up. Also true if the CA suggests none. */
  windowFetched = false
  /** The pause after the first renewal attempt. Doubles with each further attempt, up to `checkEveryMs`. */
  readonly #minPauseMs: number
  /**
   * The interval between comparisons with the store while handshakes use the certificate: 1/20 of the lifetime, at most
   * 1 hour.
   */
  readonly checkEveryMs: number
  #attempts = 0
  /** The earliest time of the next renewal attempt. */
  #pausedUntil: number
  #checkAt: number

  /** @param isNew whether the certificate was just issued, as opposed to read from the store */
  constructor(lifetimeMs: number, renewal: RenewalTime, now: number, isNew: boolean) {
    this.#minPauseMs = Math.ceil(Math.min(minuteMs, lifetimeMs / 50))
    this.checkEveryMs = Math.ceil(Math.min(hourMs, lifetimeMs / 20))
    // A wrong clock can make a new certificate due immediately. It must not be ordered in a loop.
    this.#pausedUntil = isNew && renewal.at <= now ? now + Math.ceil(lifetimeMs / 4) : 0
    // Spread the checks of certificates that were read at the same time.
    this.#checkAt = now + this.checkEveryMs * (isNew ? 1 : Math.random())
    this.setRenewalTime(renewal)
  }

  /** When the next renewal attempt is due. */
  get attemptAt(): number {
    return Math.max(this.renewAt, this.#pausedUntil)
  }

  /** When a handshake should start background work: a renewal attempt or a check. */
  get wakeAt(): number {
    return Math.min(this.attemptAt, this.#checkAt)
  }

  /** When the work is due if there are no handshakes. */
  get idleWakeAt(): number {
    return Math.min(this.attemptAt, this.#checkAt + (idleFactor - 1) * this.checkEveryMs)
  }

  setRenewalTime({ at, source }: RenewalTime): void {
    this.renewAt = at
    this.renewAtSource = source
  }

  /** Records a renewal attempt and pauses further attempts. */
  markAttempted(now: number): void {
    this.pauseUntil(now + Math.min(this.#minPauseMs * 2 ** this.#attempts, this.checkEveryMs))
    this.#attempts += 1
  }

  /** Allows no renewal attempt before `time`. Never shortens a pause. */
  pauseUntil(time: number): void {
    this.#pausedUntil = Math.max(this.#pausedUntil, time)
  }

  /** Moves the schedule back after the clock was set back by `byMs`; otherwise it would stand still for that long. */
  onClockSetBack(now: number, byMs: number): void {
    this.#pausedUntil = Math.min(
      this.#pausedUntil,
      Math.max(this.#pausedUntil - byMs, now + this.#minPauseMs),
    )
    this.#checkAt = Math.min(this.#checkAt, now)
  }

  /** Records a comparison with the store and schedules the next one. */
  markChecked(now: number): void {
    this.#checkAt = now + this.checkEveryMs * (1 + Math.random() / 5)
  }
}
