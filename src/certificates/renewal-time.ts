import type { Validity } from './certificate-bundle.js'

/** The CA's suggested renewal window (RFC 9773 section 4.2), in milliseconds since the epoch. */
export interface RenewalWindow {
  readonly start: number
  readonly end: number
}

/** The inputs of {@link renewalTime}. */
interface RenewalInput extends Validity {
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
  const source = renewBeforeMs === undefined ? 'lifetime' : 'renewBeforeMs'
  const preferred = renewBeforeMs === undefined ? notBefore + (lifetime * 2) / 3 : notAfter - renewBeforeMs
  const start = Math.min(Math.max(preferred, notBefore + lifetime / 2), latest)
  const at = Math.round(start + (random * lifetime) / 50)
  if (!window) return { at, source }
  const suggested = Math.round(Math.min(window.start + random * (window.end - window.start), latest))
  return source === 'renewBeforeMs' && at < suggested ? { at, source } : { at: suggested, source: 'ari' }
}

/**
 * The part of the random spread that differs between processes. The spread is 1/50 of the lifetime, so for 90 days this
 * is about 1 hour: enough for the first machine to renew for all.
 */
const processShare = 1 / 40

/** The renewal times of one process. The same certificate and window always have the same time. */
export class RenewalTimes {
  readonly #seed = Math.random()
  readonly #renewBeforeMs: number | undefined

  constructor(renewBeforeMs: number | undefined) {
    this.#renewBeforeMs = renewBeforeMs
  }

  /** @param window the CA's suggested renewal window, if there is one */
  of(certificate: Validity & { readonly serialNumber: string }, window?: RenewalWindow): RenewalTime {
    const { serialNumber, notBefore, notAfter } = certificate
    // Depends mostly on the certificate. If it depended on the process alone, the earliest of many machines would renew
    // every certificate near the start of its window.
    const certificateShare = Number.parseInt(serialNumber.slice(-8), 16) / 2 ** 32
    const random = certificateShare * (1 - processShare) + this.#seed * processShare
    return renewalTime({ notBefore, notAfter, renewBeforeMs: this.#renewBeforeMs, window, random })
  }
}
