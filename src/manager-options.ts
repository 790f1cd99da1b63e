import { assertCertCache, type CertCache, isCacheKey } from './cache.js'
import { type Clock, checkClock, systemClock } from './clock.js'
import { type HostPolicy, type HostPolicyFunction, hostPolicyFunction, normalizeHost } from './hostname.js'
import { type KeyType, letsEncryptProduction, type StoredLayout, storedLayout } from './layout.js'
import { mostInMemory, oneOf, optional, positiveInteger, record, text } from './options.js'

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

export interface CertManagerOptions {
  /** The store that the fleet shares. */
  cache: CertCache
  /** Which hosts may have a certificate. Asked before anything is read or ordered for a name. Mandatory. */
  hostPolicy: HostPolicy
  acme: AcmeOptions
  /** The memory tier; `max`: how many certificates are kept ready, 1 to 1,000,000, default 1,000, about 45 KiB each. */
  memory?: { max?: number }
  /** The kind of key that new certificates get; one per manager. Default `ecdsa-p256`. */
  keyType?: KeyType
  /**
   * How long before its end a certificate is replaced, in ms from 1; never earlier than half its lifetime.
   * Default: when a third of the lifetime is left.
   */
  renewBeforeMs?: number
  /**
   * What a client without SNI gets, on servers given to `attach()`; Node never calls SNICallback for it. `hostPolicy`
   * has to allow it. Default: none.
   */
  defaultHost?: string
  /** Time, for tests. Default: the system's. */
  clock?: Clock
}

export type AcmeSettings = Omit<AcmeOptions, 'directoryUrl' | 'keyPrefix'> & { directoryUrl: string }

/** The options, checked, with their defaults. */
export interface ManagerSettings {
  readonly cache: CertCache
  readonly hostPolicy: HostPolicyFunction
  readonly acme: AcmeSettings
  readonly layout: StoredLayout
  readonly max: number
  readonly keyType: KeyType
  readonly renewBeforeMs: number | undefined
  readonly defaultHost: string | undefined
  readonly clock: Clock
}

/** @throws {TypeError} naming the option that is wrong */
export function checkManagerOptions(options: CertManagerOptions): ManagerSettings {
  const given = record('CertManager: options', options)
  assertCertCache(given.cache, 'CertManager: cache')
  const keyType = oneOf('CertManager: keyType', given.keyType ?? 'ecdsa-p256', ['ecdsa-p256', 'rsa-2048'])
  const { keyPrefix, ...acme } = checkAcme(record('CertManager: acme', given.acme))
  const memory = record('CertManager: memory', given.memory ?? {})
  const hostPolicy = hostPolicyFunction(given.hostPolicy)
  const defaultHost = optional('CertManager: defaultHost', given.defaultHost, checkHost)
  // What a function says can change.
  if (defaultHost !== undefined && Array.isArray(given.hostPolicy) && !hostPolicy(defaultHost))
    throw new TypeError('CertManager: defaultHost must be one of the hosts in hostPolicy')
  return {
    cache: given.cache,
    hostPolicy,
    acme,
    layout: storedLayout(acme.directoryUrl, keyType, keyPrefix),
    max: positiveInteger('CertManager: memory.max', memory.max ?? 1_000, mostInMemory),
    keyType,
    // Any duration will do: no timer is set to it.
    renewBeforeMs: optional('CertManager: renewBeforeMs', given.renewBeforeMs, positiveInteger),
    defaultHost,
    clock: optional('CertManager: clock', given.clock, checkClock) ?? systemClock,
  }
}

function checkAcme(given: Record<string, unknown>): AcmeSettings & { keyPrefix?: string } {
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
  optional('CertManager: acme.preferredChain', given.preferredChain, text)
  optional('CertManager: acme.profile', given.profile, text)
  if (given.externalAccountBinding !== undefined) {
    const binding = record('CertManager: acme.externalAccountBinding', given.externalAccountBinding)
    text('CertManager: acme.externalAccountBinding.kid', binding.kid)
    const hmacKey = text('CertManager: acme.externalAccountBinding.hmacKey', binding.hmacKey)
    if (!/^[\w+/\s-]+=*\s*$/.test(hmacKey))
      throw new TypeError('CertManager: acme.externalAccountBinding.hmacKey must be base64url')
  }
  return { ...(given as unknown as AcmeOptions), directoryUrl }
}

function checkHost(name: string, value: unknown): string {
  const host = typeof value === 'string' ? normalizeHost(value) : undefined
  if (host === undefined) throw new TypeError(`${name} must be a DNS name a CA would issue for`)
  return host
}
