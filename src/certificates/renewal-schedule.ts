import type { RenewAtSource, RenewalTime } from './renewal-time.js'

const minuteMs = 60_000
const hourMs = 60 * minuteMs
/** How many times as long a certificate that no handshake asks for goes without a check. */
const idleFactor = 6

/**
 * When something is to be done about a certificate in memory. A few numbers, as there are thousands of them.
 * Times are in milliseconds since the epoch.
 */
export class RenewalSchedule {
  /** When it is due to be replaced. */
  renewAt = 0
  renewAtSource: RenewAtSource = 'lifetime'
  /** The CA's wish has been asked for, whether it has one or not. */
  windowFetched = false
  /** After the first attempt to renew; twice as long after each further one, up to `checkEveryMs`. */
  readonly #pauseMs: number
  /** A certificate in use is compared with the store so often. */
  readonly checkEveryMs: number
  #attempts = 0
  /** Not before this time is a renewal attempted. */
  #pausedUntil: number
  #checkAt: number

  /** @param isNew just ordered, as opposed to read from the store */
  constructor(lifetimeMs: number, renewal: RenewalTime, now: number, isNew: boolean) {
    this.#pauseMs = Math.ceil(Math.min(minuteMs, lifetimeMs / 50))
    this.checkEveryMs = Math.ceil(Math.min(hourMs, lifetimeMs / 20))
    // One that is due when it is new, by a clock that is wrong, must not be ordered again and again.
    this.#pausedUntil = isNew && renewal.at <= now ? now + Math.ceil(lifetimeMs / 4) : 0
    // Those that were read in one moment are not checked in one moment.
    this.#checkAt = now + this.checkEveryMs * (isNew ? 1 : Math.random())
    this.setRenewalTime(renewal)
  }

  /** When a renewal is attempted next. */
  get attemptAt(): number {
    return Math.max(this.renewAt, this.#pausedUntil)
  }

  /** When a handshake has something to start behind it. */
  get wakeAt(): number {
    return Math.min(this.attemptAt, this.#checkAt)
  }

  /** The same without a handshake. */
  get idleWakeAt(): number {
    return Math.min(this.attemptAt, this.#checkAt + (idleFactor - 1) * this.checkEveryMs)
  }

  setRenewalTime({ at, source }: RenewalTime): void {
    this.renewAt = at
    this.renewAtSource = source
  }

  /** A renewal is attempted now. */
  markAttempted(now: number): void {
    this.pauseUntil(now + Math.min(this.#pauseMs * 2 ** this.#attempts, this.checkEveryMs))
    this.#attempts += 1
  }

  pauseUntil(until: number): void {
    this.#pausedUntil = Math.max(this.#pausedUntil, until)
  }

  /** What was planned by a clock that has been set back since would not be done for as long as it was ahead. */
  onClockSetBack(now: number, byMs: number): void {
    this.#pausedUntil = Math.min(this.#pausedUntil, Math.max(this.#pausedUntil - byMs, now + this.#pauseMs))
    this.#checkAt = Math.min(this.#checkAt, now)
  }

  markChecked(now: number): void {
    this.#checkAt = now + this.checkEveryMs * (1 + Math.random() / 5)
  }
}
