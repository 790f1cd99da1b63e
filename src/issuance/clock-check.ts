import type { CertName } from '../certificates/certificate-id.js'
import type { Clock } from '../util/clock.js'
import { WrongClockError } from '../util/errors.js'
import { RateLimiter } from '../util/rate-limiter.js'

/** A smaller difference is tolerated: Let's Encrypt's certificates are valid from an hour before they are issued. */
const toleranceMs = 3_600_000

/** Whether a machine's clock and the CA's differ too much. An unknown difference is taken to be small. */
export const isClockWrong = (offsetMs: number | undefined): offsetMs is number =>
  Math.abs(offsetMs ?? 0) > toleranceMs

/** Limits the orders of a machine whose clock is wrong, by comparison with the CA's. */
export class ClockCheck {
  readonly #clock: Clock
  /** A host without a certificate is worth an order; a machine whose clock is ahead would order one for every host. */
  readonly #orders: RateLimiter

  constructor(clock: Clock) {
    this.#clock = clock
    this.#orders = new RateLimiter(clock, 3, 600_000)
  }

  /**
   * Checks that an order makes sense by the CA's clock.
   *
   * - A machine whose clock is behind places no order: it would not accept the new certificate yet.
   * - A machine whose clock is ahead renews only what is due by the CA's clock. Otherwise it places at most 3 orders, then
   *   one every 10 minutes.
   * @param offsetMs the CA's clock minus this machine's; `undefined` if it is unknown
   * @param renewAt when the certificate to be replaced is due, in ms since the epoch; `undefined` if there is none
   * @param isPlaced whether the order is placed now, as opposed to prepared
   * @throws {WrongClockError}
   */
  assertMayOrder(
    name: CertName,
    {
      offsetMs,
      renewAt,
      isPlaced,
    }: { offsetMs: number | undefined; renewAt: number | undefined; isPlaced: boolean },
  ): void {
    if (!isClockWrong(offsetMs)) return
    const now = this.#clock.now()
    const hours = Math.round(Math.abs(offsetMs) / 3_600_000)
    const difference = hours < 48 ? `${hours} h` : `${Math.round(hours / 24)} days`
    const wrong = `the clock of this machine is ${difference} ${offsetMs < 0 ? 'ahead of' : 'behind'} the CA's. Correct the clock.`
    const refuse = (text: string, retryAt?: Date) => new WrongClockError(`${text}: ${wrong}`, { retryAt })
    if (offsetMs > 0) throw refuse(`cannot order a certificate for "${name}"`)
    if (renewAt !== undefined && renewAt > now + offsetMs)
      throw refuse(`the certificate of "${name}" is not due for renewal`)
    const waitMs = isPlaced ? this.#orders.tryAcquire() : this.#orders.waitMs
    if (waitMs > 0) throw refuse(`the order for "${name}" is postponed`, new Date(Math.ceil(now + waitMs)))
  }
}
