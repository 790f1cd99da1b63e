import { assertCacheKey } from '../cache/cert-cache.js'
import { type CertId, type CertName, certName } from './certificate-id.js'
import { normalizeHost } from './hostname.js'

/** Let's Encrypt's production directory. Its cache keys have no prefix: they are exactly autocert's. */
export const letsEncryptProduction = 'https://acme-v02.api.letsencrypt.org/directory'

/**
 * One entry of the store: autocert's, and the failure and renewal records, which Go ignores. Certificates of different
 * key types share the account and the challenge answers, and nothing else.
 */
export type StoreEntry =
  /** The private key, leaf and intermediates; when the next order is allowed; the CA's suggested renewal window. */
  | { readonly kind: 'certificate' | 'failure' | 'renewal'; readonly id: CertId }
  /** The tls-alpn-01 challenge answer for a name. */
  | { readonly kind: 'tls-alpn-01'; readonly ca: string; readonly name: CertName }
  /** The http-01 challenge answer for a token. */
  | { readonly kind: 'http-01'; readonly ca: string; readonly token: string }
  /** The private key of the account. Old versions of autocert stored it under the legacy key. */
  | { readonly kind: 'account key' | 'legacy account key'; readonly ca: string }
  /** What each machine writes before an order, to prove that the store takes a write. */
  | { readonly kind: 'write probe'; readonly ca: string }
  /** The secrets from which the keys for session tickets are derived. */
  | { readonly kind: 'ticket seeds'; readonly ca: string }

/** What a key in the store stands for. */
export type ParsedKey = StoreEntry | { readonly kind: 'lock' | 'unknown'; readonly ca: string }

/** Returns the cache key of a certificate, which also names its lock. */
export const certificateKey = ({ ca, name, keyType }: CertId): string =>
  keyType === 'rsa-2048' ? `${ca}${name}+rsa` : ca + name

/** Returns the cache key of an entry. */
export function entryKey(entry: StoreEntry): string {
  if (entry.kind === 'certificate') return certificateKey(entry.id)
  if ('id' in entry) return `${certificateKey(entry.id)}+${entry.kind}`
  if (entry.kind === 'tls-alpn-01') return `${entry.ca}${entry.name}+token`
  if (entry.kind === 'http-01') return `${entry.ca}${entry.token}+http-01`
  if (entry.kind === 'write probe') return `${entry.ca}acme_probe`
  if (entry.kind === 'ticket seeds') return `${entry.ca}acme_tickets`
  return entry.ca + (entry.kind === 'account key' ? 'acme_account+key' : 'acme_account.key')
}

/**
 * Returns the entry that has this key: the inverse of {@link entryKey}.
 * @param selectedCa a CA to recognise whose prefix does not end with `~`
 */
export function parseKey(key: string, selectedCa?: string): ParsedKey {
  const ca = selectedCa && key.startsWith(selectedCa) ? selectedCa : key.slice(0, key.lastIndexOf('~') + 1)
  const [name, ...suffixes] = key.slice(ca.length).split('+') as [string, ...string[]]
  if (suffixes.at(-1) === 'lock') return { kind: 'lock', ca }
  if (suffixes.includes('')) return { kind: 'unknown', ca }
  const rest = suffixes.join('+')
  if (name === 'acme_account' && rest === 'key') return { kind: 'account key', ca }
  if (name === 'acme_probe' && rest === '') return { kind: 'write probe', ca }
  if (name === 'acme_tickets' && rest === '') return { kind: 'ticket seeds', ca }
  if (name === 'acme_account.key' && rest === '') return { kind: 'legacy account key', ca }
  if (rest === 'http-01' && isToken(name)) return { kind: 'http-01', ca, token: name }
  const host = normalizeHost(name)
  if (host !== name) return { kind: 'unknown', ca }
  if (rest === 'token') return { kind: 'tls-alpn-01', ca, name: certName(host) }
  const isRsa = suffixes[0] === 'rsa'
  const id: CertId = { ca, name: certName(host), keyType: isRsa ? 'rsa-2048' : 'ecdsa-p256' }
  const record = suffixes.slice(isRsa ? 1 : 0).join('+')
  if (record === '') return { kind: 'certificate', id }
  return record === 'failure' || record === 'renewal' ? { kind: record, id } : { kind: 'unknown', ca }
}

/** Returns the part of a key that all entries of one host, token or account have in common. */
export const keyName = (key: string, ca: string): string => key.slice(ca.length).split('+', 1)[0] as string

/**
 * Base64url (RFC 8555 section 8.3), up to 128 characters; Let's Encrypt's tokens have 43. A store key made of a
 * token is therefore never too long, and never the key of another entry.
 */
export const isToken = (token: string): boolean => /^[A-Za-z0-9_-]{1,128}$/.test(token)

/**
 * Returns the prefix of a CA's keys: empty for Let's Encrypt's production directory, else made of the directory's host,
 * such as `acme.example_14000~`, so that one CA's certificates and account key are never used in place of another's.
 * @param keyPrefix replaces the default; `''` means exactly autocert's keys
 * @throws {CacheKeyError} if `keyPrefix` has characters outside the key alphabet
 */
export function caPrefix(directoryUrl: string, keyPrefix?: string): string {
  if (keyPrefix) assertCacheKey(keyPrefix)
  if (keyPrefix !== undefined) return keyPrefix
  if (directoryUrl === letsEncryptProduction) return ''
  return `${new URL(directoryUrl).host.replace(/[^a-z0-9.-]/g, '_')}~`
}
