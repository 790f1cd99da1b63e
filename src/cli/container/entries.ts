import type { CertCacheEntry } from '../../cache/cert-cache.js'
import { keyName, type ParsedKey, parseKey } from '../../certificates/storage-layout.js'
import { isProbeKey } from './probe-keys.js'

export interface ClassifiedEntry {
  readonly entry: CertCacheEntry
  /** The CA, as the prefix of its keys. */
  readonly ca: string
  /** What the key stands for. A probe is a blob that doctor wrote. */
  readonly content: ParsedKey | { readonly kind: 'probe' }
}

export type EntryKind = ClassifiedEntry['content']['kind']

/** All entries of one CA for one name: a host, an account or a token. */
export interface EntryGroup {
  readonly ca: string
  readonly name: string
  readonly entries: ClassifiedEntry[]
}

/**
 * Returns a CA's name for the user: the host of its directory, such as `acme.example:14000` for the key prefix
 * `acme.example_14000~`. A custom prefix stays as it is. Empty for keys without prefix, which are those of Let's Encrypt's
 * production CA unless the servers set `keyPrefix: ''`.
 */
export const formatCa = (ca: string): string =>
  ca.endsWith('~') ? ca.slice(0, -1).replace(/_(\d+)$/, ':$1') : ca

/**
 * Classifies an entry by its key.
 * @param selectedCa the selected CA; needed if its key prefix does not end with `~`
 */
export function classifyEntry(entry: CertCacheEntry, selectedCa?: string): ClassifiedEntry {
  const parsed = parseKey(entry.name, selectedCa)
  const ca = 'id' in parsed ? parsed.id.ca : parsed.ca
  return { entry, ca, content: isProbeKey(entry.name.slice(ca.length)) ? { kind: 'probe' } : parsed }
}

/**
 * Groups consecutive entries of the same CA and name. A listing sorted by key yields one group per name, because
 * hosts and tokens contain no character that sorts before `+`. A listing in another order may yield several.
 * @param selectedCa the only CA to list; `undefined` for all CAs
 */
export async function* groupEntries(
  entries: AsyncIterable<CertCacheEntry>,
  selectedCa: string | undefined,
): AsyncGenerator<EntryGroup, void, undefined> {
  let group: EntryGroup | undefined
  for await (const entry of entries) {
    const classified = classifyEntry(entry, selectedCa)
    const { ca } = classified
    if (selectedCa !== undefined && ca !== selectedCa) continue
    const name = keyName(entry.name, ca)
    if (group && group.ca === ca && group.name === name) {
      group.entries.push(classified)
      continue
    }
    if (group) yield group
    group = { ca, name, entries: [classified] }
  }
  if (group) yield group
}
