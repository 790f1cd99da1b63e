import { isToken } from '../../acme/challenges.js'
import type { CertCacheEntry } from '../../cache/cert-cache.js'
import { normalizeHost } from '../../certificates/hostname.js'
import type { KeyType } from '../../certificates/storage-layout.js'
import { isProbeKey } from './probe-keys.js'

/** What a key stores, and for which host. */
export type KeyContent =
  | { readonly kind: 'certificate' | 'failure' | 'renewal'; readonly host: string; readonly keyType: KeyType }
  | { readonly kind: 'tls-alpn-01'; readonly host: string }
  | { readonly kind: 'http-01' | 'account key' | 'lock' | 'probe' | 'unknown' }

export type EntryKind = KeyContent['kind']

export interface ClassifiedEntry {
  readonly entry: CertCacheEntry
  /** The prefix of its CA's keys. */
  readonly prefix: string
  readonly content: KeyContent
}

/** All entries of one CA for one name: a host, an account or a token. */
export interface EntryGroup {
  readonly prefix: string
  readonly name: string
  readonly entries: ClassifiedEntry[]
}

/**
 * Classifies an entry by its key. See `storageLayout` for the layout, which extends that of Go's autocert.
 * @param selectedPrefix the selected CA's key prefix; needed if it does not end with `~`
 */
export function classifyEntry(entry: CertCacheEntry, selectedPrefix?: string): ClassifiedEntry {
  const prefix =
    selectedPrefix && entry.name.startsWith(selectedPrefix)
      ? selectedPrefix
      : entry.name.slice(0, entry.name.lastIndexOf('~') + 1)
  return { entry, prefix, content: classifyKey(entry.name.slice(prefix.length)) }
}

function classifyKey(key: string): KeyContent {
  if (key.endsWith('+lock')) return { kind: 'lock' }
  if (key === 'acme_account+key' || key === 'acme_account.key') return { kind: 'account key' }
  if (isProbeKey(key)) return { kind: 'probe' }
  const [name, ...suffixes] = key.split('+') as [string, ...string[]]
  if (suffixes.length === 1 && suffixes[0] === 'http-01' && isToken(name)) return { kind: 'http-01' }
  if (normalizeHost(name) !== name) return { kind: 'unknown' }
  if (suffixes.length === 1 && suffixes[0] === 'token') return { kind: 'tls-alpn-01', host: name }
  const keyType: KeyType = suffixes[0] === 'rsa' ? 'rsa-2048' : 'ecdsa-p256'
  const kind = suffixes.slice(keyType === 'rsa-2048' ? 1 : 0).join('+') || 'certificate'
  if (kind !== 'certificate' && kind !== 'failure' && kind !== 'renewal') return { kind: 'unknown' }
  return { kind, host: name, keyType }
}

/**
 * Groups consecutive entries of the same CA and name. A listing sorted by key yields one group per name, because
 * hosts and tokens contain no character that sorts before `+`. A listing in another order may yield several.
 * @param selectedPrefix the key prefix of the only CA to list; `undefined` for all CAs
 */
export async function* groupEntries(
  entries: AsyncIterable<CertCacheEntry>,
  selectedPrefix: string | undefined,
): AsyncGenerator<EntryGroup, void, undefined> {
  let group: EntryGroup | undefined
  for await (const entry of entries) {
    const classified = classifyEntry(entry, selectedPrefix)
    const { prefix } = classified
    if (selectedPrefix !== undefined && prefix !== selectedPrefix) continue
    const name = entry.name.slice(prefix.length).split('+', 1)[0] as string
    if (group && group.prefix === prefix && group.name === name) {
      group.entries.push(classified)
      continue
    }
    if (group) yield group
    group = { prefix, name, entries: [classified] }
  }
  if (group) yield group
}
