import { assertCacheKey } from '../cache/cert-cache.js'

/** Let's Encrypt's production directory. Its cache keys have no prefix: they are exactly autocert's. */
export const letsEncryptProduction = 'https://acme-v02.api.letsencrypt.org/directory'

export type KeyType = 'ecdsa-p256' | 'rsa-2048'

/** The cache keys of one CA: autocert's, and further keys that Go ignores. */
export interface StorageLayout {
  /** The private key, leaf and intermediates. */
  certificate(host: string): string
  /** The tls-alpn-01 challenge answer for a host. */
  tlsAlpn01(host: string): string
  /** The http-01 challenge answer for a token. */
  http01(token: string): string
  /** The failure record of a host: when its next attempt is allowed. Go ignores it. */
  failure(host: string): string
  /** The CA's suggested renewal window (RFC 9773). Go ignores it. */
  renewal(host: string): string
  readonly accountKey: string
  /** The key under which old versions of autocert stored the account key. */
  readonly legacyAccountKey: string
}

/**
 * Returns the layout for one CA. The keys of a CA other than Let's Encrypt have a prefix made of its directory's host,
 * such as `acme.example_14000~`, so that its certificates and account key are never used in place of Let's Encrypt's.
 * @param keyPrefix replaces the default prefix; `''` means exactly autocert's keys
 * @throws {CacheKeyError} if the prefix has characters outside the key alphabet
 */
export function storageLayout(directoryUrl: string, keyType: KeyType, keyPrefix?: string): StorageLayout {
  const prefix = keyPrefix ?? defaultPrefix(directoryUrl)
  if (prefix !== '') assertCacheKey(prefix)
  const keyTypeSuffix = keyType === 'rsa-2048' ? '+rsa' : ''
  return {
    certificate: (host) => `${prefix}${host}${keyTypeSuffix}`,
    tlsAlpn01: (host) => `${prefix}${host}+token`,
    http01: (token) => `${prefix}${token}+http-01`,
    failure: (host) => `${prefix}${host}${keyTypeSuffix}+failure`,
    renewal: (host) => `${prefix}${host}${keyTypeSuffix}+renewal`,
    accountKey: `${prefix}acme_account+key`,
    legacyAccountKey: `${prefix}acme_account.key`,
  }
}

/** Returns the default prefix of a CA's keys: empty for Let's Encrypt's production directory. */
export function defaultPrefix(directoryUrl: string): string {
  if (directoryUrl === letsEncryptProduction) return ''
  return `${new URL(directoryUrl).host.replace(/[^a-z0-9.-]/g, '_')}~`
}
