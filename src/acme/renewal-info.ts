import { X509Certificate } from 'node:crypto'
import { decodeBundle } from '../certificates/certificate-bundle.js'
import type { RenewalWindow } from '../certificates/renewal-time.js'
import { type AcmeHttp, parseRetryAfter } from './http.js'

/** What a CA says when it is asked about a certificate. */
export interface RenewalInfo {
  /** `undefined`: it has no opinion. */
  readonly window: RenewalWindow | undefined
  /** When it wants to be asked again, if it says so. Milliseconds since the epoch. */
  readonly retryAfter: number | undefined
}

/**
 * Asks the CA when a certificate should be replaced (ACME Renewal Information, RFC 9773 section 4).
 * @param certificate PEM, the leaf before its issuers
 * @throws {IssuanceError} if the CA does not answer, or with an error
 */
export async function fetchRenewalInfo(
  http: AcmeHttp,
  certificate: Uint8Array,
  now: number,
  signal: AbortSignal,
): Promise<RenewalInfo> {
  const { renewalInfo } = await http.directory(signal)
  const id = renewalInfo === undefined ? undefined : await certificateId(certificate)
  if (id === undefined) return { window: undefined, retryAfter: undefined }
  const { data, headers } = await http.get(`${renewalInfo}/${id}`, signal)
  return { window: parseWindow(data), retryAfter: parseRetryAfter(headers['retry-after'], now) }
}

/** A window whose end is not after its start is none (RFC 9773 section 4.2). */
export function parseWindow(data: unknown): RenewalWindow | undefined {
  const { suggestedWindow } = (data ?? {}) as { suggestedWindow?: { start?: unknown; end?: unknown } }
  const time = (value: unknown) => (typeof value === 'string' ? Date.parse(value) : Number.NaN)
  const [start, end] = [time(suggestedWindow?.start), time(suggestedWindow?.end)]
  return start < end ? { start, end } : undefined
}

/**
 * What a certificate is called at the CA: its authority key identifier and its serial number, as their bytes in
 * DER, in base64url (RFC 9773 section 4.1). `undefined` without an authority key identifier.
 * @param certificate PEM, the leaf before its issuers
 */
export async function certificateId(certificate: Uint8Array): Promise<string | undefined> {
  const x509 = await import('@peculiar/x509')
  const bundle = decodeBundle(certificate)
  if ('fault' in bundle) return undefined
  const { raw, serialNumber } = new X509Certificate(bundle.chain)
  const keyId = new x509.X509Certificate(raw).getExtension(x509.AuthorityKeyIdentifierExtension)?.keyId
  if (keyId === undefined) return undefined
  const base64url = (hex: string) => Buffer.from(hex, 'hex').toString('base64url')
  // In DER a positive number does not begin with a set bit.
  const serial = /^[89a-f]/i.test(serialNumber) ? `00${serialNumber}` : serialNumber
  return `${base64url(keyId)}.${base64url(serial)}`
}
