/** When the CA would have a certificate replaced (RFC 9773 section 4.2). Milliseconds since the epoch. */
export interface RenewalWindow {
  readonly start: number
  readonly end: number
}

/** When a certificate should be replaced. Times are in milliseconds since the epoch. */
export interface RenewalInput {
  readonly notBefore: number
  readonly notAfter: number
  /** The CA's wish, if it has one. */
  readonly window?: RenewalWindow | undefined
  /** This long before the end instead of at 2/3 of the lifetime. */
  readonly renewBeforeMs?: number | undefined
  /** From 0 up to 1: spreads machines and certificates of one day. */
  readonly random: number
}

/** What decided when a certificate is due. */
export type RenewAtSource = 'ari' | 'renewBeforeMs' | 'lifetime'

export interface RenewalTime {
  readonly at: number
  readonly source: RenewAtSource
}

/**
 * At a random time in the CA's window, or `renewBeforeMs` before the end if that is sooner. Without a window: at
 * `renewBeforeMs`, else at 2/3 of the lifetime, and up to a 50th of the lifetime later; not before half the
 * lifetime is over, so that a certificate shorter than `renewBeforeMs` is not always due.
 *
 * In any case while at least 3 % of the lifetime are left. The window alone can say earlier than half of it: the
 * certificate has been revoked, or will be.
 */
export function renewalTime(input: RenewalInput): RenewalTime {
  const { notBefore, notAfter, window, renewBeforeMs, random } = input
  const lifetime = notAfter - notBefore
  const latest = notAfter - lifetime / 20
  const at = (wanted: number) => {
    const start = Math.min(Math.max(wanted, notBefore + lifetime / 2), latest)
    return Math.round(start + (random * lifetime) / 50)
  }
  const own: RenewalTime =
    renewBeforeMs === undefined
      ? { at: at(notBefore + (lifetime * 2) / 3), source: 'lifetime' }
      : { at: at(notAfter - renewBeforeMs), source: 'renewBeforeMs' }
  if (!window) return own
  const suggested = Math.round(Math.min(window.start + random * (window.end - window.start), latest))
  return own.source === 'renewBeforeMs' && own.at < suggested ? own : { at: suggested, source: 'ari' }
}
