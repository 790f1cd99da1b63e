import { createPrivateKey, type KeyObject, sign, verify, X509Certificate } from 'node:crypto'
import { createSecureContext, type SecureContext } from 'node:tls'
import { clockSkewMs } from '../util/clock.js'
import { isOutOfMemory, ProcessFailureError, toError } from '../util/errors.js'
import type { KeyType } from './certificate-id.js'
import { exportKey } from './private-key.js'

/** The stored value of a host: the private key, then the chain with the leaf first, all in PEM. */
export interface CertificateBundle {
  readonly key: string
  readonly chain: string
}

/** The reason why stored bytes cannot be served for a host. */
export type BundleFault =
  | 'no private key'
  | 'no certificate'
  | 'unreadable'
  | 'too large'
  | 'another host'
  | 'another key type'
  | 'key mismatch'
  | 'not yet valid'
  | 'expired'

/** The bytes are a valid certificate, but not the one that belongs under its key in the store. */
export type IdentityFault = Extract<BundleFault, 'another host' | 'another key type'>

/** What a certificate under a key in the store must be. */
export interface BundleId {
  /** The host. */
  readonly name: string
  readonly keyType: KeyType
}

/** A certificate's validity period, in milliseconds since the epoch. */
export interface Validity {
  readonly notBefore: number
  readonly notAfter: number
}

interface ValidBundle extends Validity {
  readonly fault?: undefined
  readonly bundle: CertificateBundle
  readonly serialNumber: string
  readonly context: SecureContext
}

/** Far above the size of any certificate chain. A larger value is not parsed. */
const maxBundleBytes = 256 * 1024

/**
 * Encodes a bundle exactly as autocert does: SEC1 or PKCS#1 key, leaf, intermediates; LF line ends, no blank lines, one
 * newline at the end. autocert treats a blank line after the last block as a miss, and would order again.
 */
export function encodeBundle(key: KeyObject, chain: string): Uint8Array {
  return Buffer.from(exportKey(key) + pemBlocks(chain, 'CERTIFICATE').join(''))
}

/** Parses a bundle with any order and line ends of its blocks. Checks only that a key and a certificate are present. */
export function decodeBundle(data: Uint8Array): CertificateBundle | { fault: BundleFault } {
  if (data.byteLength > maxBundleBytes) return { fault: 'too large' }
  const text = Buffer.from(data).toString('latin1')
  const [key] = pemBlocks(text, '(?:EC |RSA )?PRIVATE KEY')
  const chain = pemBlocks(text, 'CERTIFICATE')
  if (key === undefined) return { fault: 'no private key' }
  if (chain.length === 0) return { fault: 'no certificate' }
  return { key, chain: chain.join('') }
}

/**
 * Validates stored bytes: the leaf must be for this host, have this type of key, match the key and be valid at `now`, and
 * OpenSSL must accept the bundle. Does not check whether the issuer is trusted; clients do.
 * @param now in milliseconds since the epoch
 * @throws {ProcessFailureError} if this process is out of memory, which says nothing about the bytes
 */
export function checkBundle(
  data: Uint8Array,
  id: BundleId,
  now: number,
): ValidBundle | { fault: BundleFault } {
  const bundle = decodeBundle(data)
  if ('fault' in bundle) return bundle
  try {
    const leaf = new X509Certificate(bundle.chain)
    const fault = identityFault(leaf, id)
    if (fault) return { fault }
    if (!keyMatches(leaf, createPrivateKey(bundle.key))) return { fault: 'key mismatch' }
    const validity = parseValidity(leaf)
    if (!validity) return { fault: 'unreadable' }
    if (now < validity.notBefore - clockSkewMs) return { fault: 'not yet valid' }
    if (now >= validity.notAfter) return { fault: 'expired' }
    // OpenSSL may reject a bundle that can be parsed: a weak key, a broken intermediate.
    const context = createSecureContext({ key: bundle.key, cert: bundle.chain })
    return { bundle, ...validity, serialNumber: leaf.serialNumber, context }
  } catch (thrown) {
    const error = toError(thrown)
    if (!isOutOfMemory(error)) return { fault: 'unreadable' }
    const text = `cannot load the certificate of "${id.name}": this process is out of memory (${error.message})`
    throw new ProcessFailureError(text, { cause: error })
  }
}

/**
 * Returns why a certificate cannot be served as this one, or `undefined` if it can. As in browsers, a wildcard is a whole
 * label, such as `*.example.com`, and the subject does not count. autocert, too, treats another key type as a miss.
 */
export function identityFault(leaf: X509Certificate, { name, keyType }: BundleId): IdentityFault | undefined {
  if (leaf.checkHost(name, { subject: 'never', partialWildcards: false }) === undefined) return 'another host'
  const expected = keyType === 'rsa-2048' ? 'rsa' : 'ec'
  return leaf.publicKey.asymmetricKeyType === expected ? undefined : 'another key type'
}

/** Returns the validity period in milliseconds since the epoch, or `undefined` if a date cannot be parsed. */
export function parseValidity({ validFrom, validTo }: X509Certificate): Validity | undefined {
  const [notBefore, notAfter] = [Date.parse(validFrom), Date.parse(validTo)]
  return Number.isNaN(notBefore) || Number.isNaN(notAfter) ? undefined : { notBefore, notAfter }
}

/**
 * Returns whether the private key belongs to the certificate, by signing and verifying. `checkPrivateKey()` would
 * compare only the copy of the public key that an EC key file contains.
 */
export function keyMatches(leaf: X509Certificate, key: KeyObject): boolean {
  const probe = Buffer.from('acme-cert-cache')
  return verify('sha256', probe, leaf.publicKey, sign('sha256', probe, key))
}

/** The header lines of a PEM block (RFC 1421 section 4.6), each with its continuation lines, and blank lines before them. */
const headerLines = /^\s*(?:[!-9;-~]+:[^\n]*\n(?:[ \t]+\S[^\n]*\n)*)*/

/** Returns the non-empty PEM blocks of a type, in autocert's format. Skips text between blocks, and encrypted keys. */
function pemBlocks(text: string, type: string): string[] {
  const pattern = new RegExp(`^(${type})-----([^]*?)-----END \\1-----`)
  // Split first, so that the time is linear even if no block ends.
  return text.split('-----BEGIN ').flatMap((block) => {
    const [, label, content = ''] = pattern.exec(block) ?? []
    const [headers = ''] = headerLines.exec(content) ?? []
    const base64 = content.slice(headers.length).replace(/\s+/g, '')
    if (!/^[A-Za-z0-9+/=]+$/.test(base64) || /^Proc-Type:.*ENCRYPTED|^DEK-Info:/im.test(headers)) return []
    const lines = base64.replace(/.{1,64}/g, '$&\n')
    return `-----BEGIN ${label}-----\n${lines}-----END ${label}-----\n`
  })
}
