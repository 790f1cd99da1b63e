import { X509Certificate } from 'node:crypto'
import { decodeBundle } from '../certificates/certificate-bundle.js'
import type { RenewalWindow } from '../certificates/renewal-time.js'
import { loadX509 } from './dependencies.js'
import type { AcmeHttp } from './http/acme-http.js'
import { parseRetryAfter } from './http/problem.js'

/** A CA's renewal information for a certificate (RFC 9773 section 4.2). */
export interface RenewalInfo {
  /** The suggested renewal window. `undefined` if the CA suggests none. */
  readonly window: RenewalWindow | undefined
  /** The CA's `Retry-After`, in milliseconds since the epoch. `undefined` if it sent none. */
  readonly retryAfter: number | undefined
}

/**
 * Asks the CA when a certificate should be renewed (ACME Renewal Information, RFC 9773 section 4).
 * @param certificate PEM, leaf first
 * @throws {IssuanceError} if the CA does not answer, or answers with an error
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
  const retryAfter = parseRetryAfter(headers['retry-after'], now, headers.date)
  return { window: parseWindow(data), retryAfter }
}

/** Returns `undefined` for an invalid window, as one whose end is not after its start (RFC 9773 section 4.2). */
export function parseWindow(data: unknown): RenewalWindow | undefined {
  const { suggestedWindow } = (data ?? {}) as { suggestedWindow?: { start?: unknown; end?: unknown } }
  const time = (value: unknown) => (typeof value === 'string' ? Date.parse(value) : Number.NaN)
  const [start, end] = [time(suggestedWindow?.start), time(suggestedWindow?.end)]
  return start < end ? { start, end } : undefined
}

/**
 * Returns the identifier of a certificate in ACME: its authority key identifier and its serial number, each as DER
 * bytes in base64url (RFC 9773 section 4.1). `undefined` for a certificate without an authority key identifier.
 * @param certificate PEM, leaf first
 */
export async function certificateId(certificate: Uint8Array): Promise<string | undefined> {
  const x509 = await loadX509()
  const bundle = decodeBundle(certificate)
  if ('fault' in bundle) return undefined
  const { raw, serialNumber } = new X509Certificate(bundle.chain)
  const keyId = new x509.X509Certificate(raw).getExtension(x509.AuthorityKeyIdentifierExtension)?.keyId
  if (keyId === undefined) return undefined
  const base64url = (hex: string) => Buffer.from(hex, 'hex').toString('base64url')
  // In DER the first bit of a positive number is 0.
  const serial = /^[89a-f]/i.test(serialNumber) ? `00${serialNumber}` : serialNumber
  return `${base64url(keyId)}.${base64url(serial)}`
}
