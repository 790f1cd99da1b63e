import type { Validity } from './certificate-bundle.js'

const minuteMs = 60_000
/** Delays after successive failures, as Let's Encrypt recommends: 1 min, 10 min, 100 min, then a day. */
const retryDelaysMs = [minuteMs, 10 * minuteMs, 100 * minuteMs, 1_440 * minuteMs] as const
/** The longest `Retry-After` that is obeyed: 7 days, the period of Let's Encrypt's longest limits. */
export const maxRetryAfterMs: number = 7 * 1_440 * minuteMs

/**
 * Returns the time of the next attempt, in ms since the epoch: after 1, 10, 100 minutes, then a day, plus up to a
 * tenth, but never before the CA's `Retry-After`. That is obeyed for up to 7 days and, while a certificate is still
 * served, for up to half of its remaining time.
 *
 * While a certificate is still served, the delay is at most an eighth of its remaining time, but at least 15 minutes
 * (Let's Encrypt allows 5 failures per host and hour) or a 50th of its lifetime, whichever is less.
 * @param failures how many in a row, from 1
 * @param random from 0 up to 1
 * @param options.retryAfter the CA's `Retry-After`, in ms since the epoch
 * @param options.served the certificate to be renewed, if it is still served
 */
export function retryTime(
  failures: number,
  now: number,
  random: number,
  options: { retryAfter?: number | undefined; served?: Validity | undefined } = {},
): number {
  const { retryAfter = 0, served } = options
  const standardMs = retryDelaysMs[Math.min(failures, retryDelaysMs.length) - 1] as number
  const delayMs = served ? Math.min(standardMs, renewalDelay(served, now)) : standardMs
  const latest =
    now + Math.min(maxRetryAfterMs, served ? (served.notAfter - now) / 2 : Number.POSITIVE_INFINITY)
  return Math.round(Math.max(now + delayMs * (1 + random / 10), Math.min(retryAfter, latest)))
}

/** Delays after successive failures of this process or its store: they may be over in a moment. */
const firstLocalDelayMs = 10_000
const maxLocalDelayMs = 5 * minuteMs

/** Returns the delay after a failure that concerns this process alone, in ms: 10 s, doubled up to 5 minutes. */
export const localRetryDelay = (failures: number): number =>
  Math.min(firstLocalDelayMs * 2 ** (failures - 1), maxLocalDelayMs)

function renewalDelay({ notBefore, notAfter }: Validity, now: number): number {
  const minMs = Math.min(15 * minuteMs, (notAfter - notBefore) / 50)
  return Math.max((notAfter - now) / 8, minMs)
}

/**
 * Returns the shortest time between two orders of a certificate, in ms: a quarter of its lifetime. A certificate that is
 * due earlier was issued under a wrong clock.
 */
export const earlyPause = ({ notBefore, notAfter }: Validity): number => Math.ceil((notAfter - notBefore) / 4)

/** The longest of these times that is obeyed: a quarter of 398 days, the longest lifetime since 2020, rounded up. */
export const maxEarlyPauseMs: number = 100 * 1_440 * minuteMs

/**
 * Returns the pause after a renewal attempt, in milliseconds: 1 minute or a 50th of the certificate's lifetime,
 * whichever is less, doubled with each further attempt up to `maxMs`.
 * @param attempts how many before this one, from 0
 */
export function renewalPause({ notBefore, notAfter }: Validity, attempts: number, maxMs: number): number {
  const firstMs = Math.ceil(Math.min(minuteMs, (notAfter - notBefore) / 50))
  return Math.min(firstMs * 2 ** attempts, maxMs)
}
