import { isToken } from '../../acme/challenges.js'
import type { CertCacheEntry } from '../../cache/cert-cache.js'
import { normalizeHost } from '../../certificates/hostname.js'
import type { KeyType } from '../../certificates/storage-layout.js'
import { isScratch } from './probe-keys.js'

/** What a key of the container stands for. */
export type Meaning =
  | { readonly kind: 'certificate' | 'failure' | 'renewal'; readonly host: string; readonly keyType: KeyType }
  | { readonly kind: 'tls-alpn-01'; readonly host: string }
  | { readonly kind: 'http-01' | 'account key' | 'lock' | 'scratch' | 'unknown' }

export type Kind = Meaning['kind']

/** A blob, and what it means. */
export interface Entry {
  readonly entry: CertCacheEntry
  /** What the keys of its CA begin with. */
  readonly prefix: string
  readonly meaning: Meaning
}

/** What keys are about one name: a host, an account, a token. */
export interface Group {
  readonly prefix: string
  readonly name: string
  readonly entries: Entry[]
}

/**
 * What a key means, by autocert's layout and ours (see storageLayout).
 * @param chosen the prefix of a CA that does not end with `~`
 */
export function classifyEntry(entry: CertCacheEntry, chosen?: string): Entry {
  const prefix =
    chosen && entry.name.startsWith(chosen) ? chosen : entry.name.slice(0, entry.name.lastIndexOf('~') + 1)
  return { entry, prefix, meaning: meaningOf(entry.name.slice(prefix.length)) }
}

function meaningOf(key: string): Meaning {
  if (key.endsWith('+lock')) return { kind: 'lock' }
  if (key === 'acme_account+key' || key === 'acme_account.key') return { kind: 'account key' }
  if (isScratch(key)) return { kind: 'scratch' }
  const [name, ...marks] = key.split('+') as [string, ...string[]]
  if (marks.length === 1 && marks[0] === 'http-01' && isToken(name)) return { kind: 'http-01' }
  if (normalizeHost(name) !== name) return { kind: 'unknown' }
  if (marks.length === 1 && marks[0] === 'token') return { kind: 'tls-alpn-01', host: name }
  const keyType: KeyType = marks[0] === 'rsa' ? 'rsa-2048' : 'ecdsa-p256'
  const kind = marks.slice(keyType === 'rsa-2048' ? 1 : 0).join('+') || 'certificate'
  if (kind !== 'certificate' && kind !== 'failure' && kind !== 'renewal') return { kind: 'unknown' }
  return { kind, host: name, keyType }
}

/**
 * Brings together what is about one name. In a listing by name these follow one another: nothing else that is kept
 * here sorts before `+`. From a store with another order a name may come more than once.
 */
export async function* groups(
  entries: AsyncIterable<CertCacheEntry>,
  chosen: string | undefined,
): AsyncGenerator<Group, void, undefined> {
  let group: Group | undefined
  for await (const listed of entries) {
    const understood = classifyEntry(listed, chosen)
    const { prefix } = understood
    if (chosen !== undefined && prefix !== chosen) continue
    const name = listed.name.slice(prefix.length).split('+', 1)[0] as string
    if (group && group.prefix === prefix && group.name === name) {
      group.entries.push(understood)
      continue
    }
    if (group) yield group
    group = { prefix, name, entries: [understood] }
  }
  if (group) yield group
}

/** Does `work` for so many items at once; what comes of it comes in the order of the items. */
export async function* mapInOrder<T, R>(
  items: AsyncIterable<T>,
  concurrency: number,
  work: (item: T) => Promise<R>,
): AsyncGenerator<R, void, undefined> {
  const underWay: Promise<R>[] = []
  for await (const item of items) {
    const result = work(item)
    // It is reported when its turn comes, if an earlier one has not failed.
    result.catch(() => undefined)
    underWay.push(result)
    if (underWay.length >= concurrency) yield await (underWay.shift() as Promise<R>)
  }
  for (const result of underWay) yield await result
}
