import { isCacheKey } from '../cache/cert-cache.js'
import { letsEncryptProduction } from '../certificates/storage-layout.js'
import { nonEmptyString, optional, plainObject } from '../util/validate.js'

export interface AcmeOptions {
  /** You have read and agree to the CA's terms of service (RFC 8555 section 7.3). Must be `true`. */
  termsOfServiceAgreed: true
  /** The account's contact. Let's Encrypt sends no expiry mails any more. Default: none. */
  email?: string
  /** The CA's directory, an https URL. Default: Let's Encrypt's production. */
  directoryUrl?: string
  /** For a CA that wants accounts bound to one of its own (RFC 8555 section 7.3.4); `hmacKey` in base64url. */
  externalAccountBinding?: { kid: string; hmacKey: string }
  /** Common name of an issuer in the chain to take, where the CA offers several. Default: the CA's default. */
  preferredChain?: string
  /** One of the directory's `meta.profiles`, for example `tlsserver`. Default: the CA's default. */
  profile?: string
  /** PEM certificates to trust for the CA's own endpoint, in place of Node's: for a private CA. */
  ca?: string | Buffer
  /**
   * Put before the keys in the store, so that one CA's certificates are never taken for another's. Default: none
   * for Let's Encrypt's production, else the directory's host and port followed by `~`: set it where one host has
   * several directories. `''` means autocert's keys exactly, whatever the CA.
   */
  keyPrefix?: string
}

export type AcmeSettings = Omit<AcmeOptions, 'directoryUrl' | 'keyPrefix'> & { directoryUrl: string }

/** @throws {TypeError} naming the option that is wrong */
export function checkAcmeOptions(given: Record<string, unknown>): AcmeSettings & { keyPrefix?: string } {
  if (given.termsOfServiceAgreed !== true) {
    throw new TypeError(
      'CertManager: acme.termsOfServiceAgreed must be true: read the CA’s terms of service first',
    )
  }
  const directoryUrl = given.directoryUrl ?? letsEncryptProduction
  if (
    typeof directoryUrl !== 'string' ||
    !URL.canParse(directoryUrl) ||
    !directoryUrl.startsWith('https://')
  ) {
    throw new TypeError('CertManager: acme.directoryUrl must be an https URL')
  }
  if (
    given.email !== undefined &&
    !(typeof given.email === 'string' && /^[^\s@]+@[^\s@]+$/.test(given.email))
  ) {
    throw new TypeError('CertManager: acme.email must be a mail address')
  }
  const isPem = typeof given.ca === 'string' || Buffer.isBuffer(given.ca)
  if (given.ca !== undefined && !(isPem && /-----BEGIN [A-Z0-9 ]*CERTIFICATE-----/.test(String(given.ca)))) {
    throw new TypeError('CertManager: acme.ca must be certificates in PEM, as a string or Buffer')
  }
  const { keyPrefix } = given
  if (
    keyPrefix !== undefined &&
    keyPrefix !== '' &&
    !(typeof keyPrefix === 'string' && isCacheKey(keyPrefix))
  ) {
    throw new TypeError(
      'CertManager: acme.keyPrefix must be printable ASCII without \\ / : * ? " < > |, and not . or .., or empty',
    )
  }
  optional('CertManager: acme.preferredChain', given.preferredChain, nonEmptyString)
  optional('CertManager: acme.profile', given.profile, nonEmptyString)
  if (given.externalAccountBinding !== undefined) {
    const binding = plainObject('CertManager: acme.externalAccountBinding', given.externalAccountBinding)
    nonEmptyString('CertManager: acme.externalAccountBinding.kid', binding.kid)
    const hmacKey = nonEmptyString('CertManager: acme.externalAccountBinding.hmacKey', binding.hmacKey)
    if (!/^[\w+/\s-]+=*\s*$/.test(hmacKey))
      throw new TypeError('CertManager: acme.externalAccountBinding.hmacKey must be base64url')
  }
  return { ...(given as unknown as AcmeOptions), directoryUrl }
}
