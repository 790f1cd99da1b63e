/** The CA's suggested renewal window (RFC 9773 section 4.2), in milliseconds since the epoch. */
export interface RenewalWindow {
  readonly start: number
  readonly end: number
}

/** The inputs of {@link renewalTime}. Times are in milliseconds since the epoch. */
export interface RenewalInput {
  readonly notBefore: number
  readonly notAfter: number
  /** The CA's suggested renewal window, if there is one. */
  readonly window?: RenewalWindow | undefined
  /** Renews this many milliseconds before `notAfter` instead of at 2/3 of the lifetime. */
  readonly renewBeforeMs?: number | undefined
  /** At least 0 and less than 1. Spreads renewals over machines, and over certificates issued on the same day. */
  readonly random: number
}

/** What determined the renewal time: the CA's window (`ari`), `renewBeforeMs`, or 2/3 of the lifetime. */
export type RenewAtSource = 'ari' | 'renewBeforeMs' | 'lifetime'

/** When to renew a certificate, in milliseconds since the epoch. */
export interface RenewalTime {
  readonly at: number
  readonly source: RenewAtSource
}

/**
 * Computes when to renew a certificate.
 *
 * - With a window: at a random time in the window, or at the `renewBeforeMs` time if that is earlier.
 * - Without a window: `renewBeforeMs` before the end, else at 2/3 of the lifetime.
 *
 * A time that does not come from the window is delayed at random by up to 1/50 of the lifetime. It is never in the
 * first half of the lifetime: otherwise a certificate whose lifetime is shorter than `renewBeforeMs` would always be
 * due. A window can be earlier, because the certificate has been revoked or will be.
 *
 * At least 3 % of the lifetime remains at the renewal time.
 */
export function renewalTime(input: RenewalInput): RenewalTime {
  const { notBefore, notAfter, window, renewBeforeMs, random } = input
  const lifetime = notAfter - notBefore
  const latest = notAfter - lifetime / 20
  const spread = (time: number) => {
    const start = Math.min(Math.max(time, notBefore + lifetime / 2), latest)
    return Math.round(start + (random * lifetime) / 50)
  }
  const scheduled: RenewalTime =
    renewBeforeMs === undefined
      ? { at: spread(notBefore + (lifetime * 2) / 3), source: 'lifetime' }
      : { at: spread(notAfter - renewBeforeMs), source: 'renewBeforeMs' }
  if (!window) return scheduled
  const suggested = Math.round(Math.min(window.start + random * (window.end - window.start), latest))
  return scheduled.source === 'renewBeforeMs' && scheduled.at < suggested
    ? scheduled
    : { at: suggested, source: 'ari' }
}
