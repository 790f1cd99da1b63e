import { createPrivateKey, type KeyObject, sign, verify, X509Certificate } from 'node:crypto'
import { createSecureContext, type SecureContext } from 'node:tls'
import { clockSkewMs } from '../util/clock.js'
import { toError } from '../util/errors.js'
import { exportKey } from './private-key.js'

/** What the store holds for a host: the private key, then the chain, leaf first, all PEM. */
export interface CertificateBundle {
  readonly key: string
  readonly chain: string
}

/** Why stored bytes can't be served for a host. */
export type BundleFault =
  | 'no private key'
  | 'no certificate'
  | 'unreadable'
  | 'too large'
  | 'another host'
  | 'key mismatch'
  | 'not yet valid'
  | 'expired'

export type CheckedBundle =
  | { readonly fault: BundleFault; readonly detail?: string }
  | {
      readonly fault?: undefined
      readonly bundle: CertificateBundle
      /** Milliseconds since the epoch. */
      readonly notBefore: number
      readonly notAfter: number
      readonly serialNumber: string
      readonly context: SecureContext
    }

/** No certificate chain comes near it; more is not even looked at. */
const largestBundle = 256 * 1024

/**
 * A bundle exactly as autocert writes it: SEC1 or PKCS#1 key, leaf, intermediates, back to back, LF, one newline
 * at the end. (autocert takes a blank line after the last block for a miss, and would order again.)
 */
export function encodeBundle(key: KeyObject, chain: string): Uint8Array {
  return Buffer.from(exportKey(key) + blocks(chain, 'CERTIFICATE').join(''))
}

/** Reads a bundle, whatever the order and the line ends of its blocks. Checks nothing but that both parts are there. */
export function decodeBundle(data: Uint8Array): CertificateBundle | { fault: BundleFault } {
  if (data.byteLength > largestBundle) return { fault: 'too large' }
  const text = Buffer.from(data).toString('latin1')
  const [key] = blocks(text, '(?:EC |RSA )?PRIVATE KEY')
  const chain = blocks(text, 'CERTIFICATE')
  if (key === undefined) return { fault: 'no private key' }
  if (chain.length === 0) return { fault: 'no certificate' }
  return { key, chain: chain.join('') }
}

/**
 * Distrusts what a store returned: the leaf must be for this host, for this key, and valid now, and a TLS server
 * must be able to use it. Whether an issuer that clients trust signed it is theirs to check. Never throws.
 */
export function checkBundle(data: Uint8Array, host: string, now: number): CheckedBundle {
  const bundle = decodeBundle(data)
  if ('fault' in bundle) return bundle
  try {
    const leaf = new X509Certificate(bundle.chain)
    if (leaf.checkHost(host, { subject: 'never' }) === undefined) return { fault: 'another host' }
    if (!keyMatches(leaf, createPrivateKey(bundle.key))) return { fault: 'key mismatch' }
    const validity = parseValidity(leaf)
    if (!validity) return { fault: 'unreadable' }
    const { notBefore, notAfter } = validity
    if (now < notBefore - clockSkewMs) return { fault: 'not yet valid' }
    if (now >= notAfter) return { fault: 'expired' }
    // OpenSSL may refuse what could be parsed: a weak key, a broken intermediate.
    const context = createSecureContext({ key: bundle.key, cert: bundle.chain })
    return { bundle, notBefore, notAfter, serialNumber: leaf.serialNumber, context }
  } catch (thrown) {
    return { fault: 'unreadable', detail: toError(thrown).message }
  }
}

interface Validity {
  readonly notBefore: number
  readonly notAfter: number
}

/** In milliseconds since the epoch; `undefined` if one of them is no date. */
export function parseValidity({ validFrom, validTo }: X509Certificate): Validity | undefined {
  const [notBefore, notAfter] = [Date.parse(validFrom), Date.parse(validTo)]
  return Number.isNaN(notBefore) || Number.isNaN(notAfter) ? undefined : { notBefore, notAfter }
}

/** By a signature: an EC key has a copy of its public half, which checkPrivateKey would compare with the leaf's. */
export function keyMatches(leaf: X509Certificate, key: KeyObject): boolean {
  const probe = Buffer.from('acme-cert-cache')
  return verify('sha256', probe, leaf.publicKey, sign('sha256', probe, key))
}

/** The PEM blocks of a type that are not empty, each in autocert's form. What is between them, and encrypted keys, are passed over. */
function blocks(text: string, type: string): string[] {
  const pattern = new RegExp(
    `-----BEGIN (${type})-----(\\s*[A-Za-z0-9+/=][A-Za-z0-9+/=\\s]*)-----END \\1-----`,
    'g',
  )
  return [...text.matchAll(pattern)].map(([, label, body]) => {
    const lines = (body as string).replace(/\s+/g, '').replace(/.{1,64}/g, '$&\n')
    return `-----BEGIN ${label}-----\n${lines}-----END ${label}-----\n`
  })
}
