import { assertCacheKey } from '../cache/cert-cache.js'

/** Let's Encrypt's production directory: its keys have no prefix, exactly as autocert writes them. */
export const letsEncryptProduction = 'https://acme-v02.api.letsencrypt.org/directory'

export type KeyType = 'ecdsa-p256' | 'rsa-2048'

/** The names under which things are stored: autocert's, and ours beside them. */
export interface StorageLayout {
  /** Private key, leaf and intermediates. */
  certificate(host: string): string
  /** The tls-alpn-01 answer for a host. */
  tlsAlpn01(host: string): string
  /** The http-01 answer for a token. */
  http01(token: string): string
  /** When a host that failed may be tried again. Go ignores it. */
  failure(host: string): string
  /** When the CA would have the certificate replaced. Go ignores it. */
  renewal(host: string): string
  readonly accountKey: string
  /** Where old versions of autocert put the account key. */
  readonly legacyAccountKey: string
}

/**
 * The layout for one CA. Certificates of another CA, and its account key, must never be taken for Let's
 * Encrypt's: its keys have a prefix made of its directory's host, such as `acme.example_14000~`.
 * @param prefix in place of the default one; `''` means exactly autocert's keys
 */
export function storageLayout(directoryUrl: string, keyType: KeyType, prefix?: string): StorageLayout {
  const before = prefix ?? defaultPrefix(directoryUrl)
  if (before !== '') assertCacheKey(before)
  const ofType = keyType === 'rsa-2048' ? '+rsa' : ''
  return {
    certificate: (host) => `${before}${host}${ofType}`,
    tlsAlpn01: (host) => `${before}${host}+token`,
    http01: (token) => `${before}${token}+http-01`,
    failure: (host) => `${before}${host}${ofType}+failure`,
    renewal: (host) => `${before}${host}${ofType}+renewal`,
    accountKey: `${before}acme_account+key`,
    legacyAccountKey: `${before}acme_account.key`,
  }
}

/** What a CA's keys begin with: nothing for Let's Encrypt's production. */
export function defaultPrefix(directoryUrl: string): string {
  if (directoryUrl === letsEncryptProduction) return ''
  return `${new URL(directoryUrl).host.replace(/[^a-z0-9.-]/g, '_')}~`
}
