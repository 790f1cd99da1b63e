/** When a certificate should be replaced. Times are in milliseconds since the epoch. */
export interface RenewalInput {
  readonly notBefore: number
  readonly notAfter: number
  /** This long before the end instead of at 2/3 of the lifetime. */
  readonly renewBeforeMs?: number | undefined
  /** From 0 up to 1: spreads machines and certificates of one day. */
  readonly random: number
}

/**
 * At 2/3 of the lifetime, or `renewBeforeMs` before its end, and up to a 50th of the lifetime later; never
 * before half the lifetime is over, so that a certificate shorter than `renewBeforeMs` is not always due.
 */
export function renewalTime({ notBefore, notAfter, renewBeforeMs, random }: RenewalInput): number {
  const lifetime = notAfter - notBefore
  const wanted = renewBeforeMs === undefined ? notBefore + (lifetime * 2) / 3 : notAfter - renewBeforeMs
  return Math.round(Math.max(wanted, notBefore + lifetime / 2) + (random * lifetime) / 50)
}
