import { normalizeHost } from '../../certificates/hostname.js'
import { renewalTime } from '../../certificates/renewal-time.js'
import type { KeyType } from '../../certificates/storage-layout.js'
import { type FailureRecord, parseFailureRecord } from '../../issuance/failure-records.js'
import { parseRenewalInfoRecord } from '../../issuance/renewal-info-records.js'
import { printable } from '../console/arguments.js'
import { type CertificateFacts, coversHost, factsOf } from '../container/certificate-details.js'
import type { Connection } from '../container/connection.js'
import { isEncrypted } from '../container/encryption.js'
import type { Group } from '../container/entries.js'
import { unreadable } from '../container/unreadable-blob.js'

/** What is known of a host and a type of key. Also a line of `--json`, where times are in ISO 8601. */
export interface Row {
  readonly host: string
  /** As the certificate is stored. */
  readonly key: string
  readonly state:
    | 'valid'
    | 'due'
    | 'expired'
    | 'not yet valid'
    | 'corrupt'
    | 'encrypted'
    | 'unreadable'
    | 'no certificate'
  /** Why it is corrupt, or unreadable. */
  readonly fault: string | null
  readonly keyType: string | null
  readonly issuer: string | null
  readonly notBefore: Date | null
  readonly notAfter: Date | null
  /** From when the manager replaces it, with its default for `renewBeforeMs`. */
  readonly renewAt: Date | null
  readonly failure: { readonly failures: number; readonly retryAt: Date; readonly message: string } | null
  /** Somebody orders, or asks the CA about it. */
  readonly locked: boolean
}

/** Of a host: one for each type of key that there is something of. */
export async function rowsOf(group: Group, connection: Connection): Promise<Row[]> {
  const rows = await Promise.all(
    (['ecdsa-p256', 'rsa-2048'] as const).map((keyType) => rowOf(group, keyType, connection)),
  )
  return rows.filter((row) => row !== undefined)
}

/** Of a host's failures, what `--json` tells. */
export const failureFacts = ({ failures, retryAt, message }: FailureRecord): NonNullable<Row['failure']> => ({
  failures,
  retryAt: new Date(retryAt),
  message: printable(message),
})

const nothing = { keyType: null, issuer: null, notBefore: null, notAfter: null, renewAt: null }

async function rowOf(group: Group, keyType: KeyType, connection: Connection): Promise<Row | undefined> {
  const host = group.name
  const key = `${group.prefix}${host}${keyType === 'rsa-2048' ? '+rsa' : ''}`
  const names = new Set(group.entries.map(({ entry }) => entry.name))
  const isOurs = ['', '+failure', '+lock'].some((mark) => names.has(key + mark))
  if (!isOurs || normalizeHost(host) !== host) return
  if (group.entries.every(({ meaning }) => !('host' in meaning) && meaning.kind !== 'lock')) return
  try {
    return describe(host, key, await partsOf(key, names, connection))
  } catch (thrown) {
    const fault = unreadable(thrown)
    if (fault === undefined) throw thrown
    return { host, key, ...nothing, failure: null, locked: false, state: 'unreadable', fault }
  }
}

/** What is stored about it: one request for each blob that was listed. */
async function partsOf(key: string, names: ReadonlySet<string>, { store, look }: Connection) {
  const text = async (name: string) => (names.has(name) ? store.get(name) : undefined)
  const locks = [`${key}+lock`, `${key}+renewal+lock`].filter((name) => names.has(name))
  const [data, failureData, renewalData, ...leased] = await Promise.all([
    text(key),
    text(`${key}+failure`),
    text(`${key}+renewal`),
    ...locks.map(async (name) => (await look(name))?.isLeased),
  ])
  return { data, failureData, renewalData, locked: leased.includes(true) }
}

function describe(
  host: string,
  key: string,
  { data, failureData, renewalData, locked }: Awaited<ReturnType<typeof partsOf>>,
): Row | undefined {
  const failure = failureData && parseFailureRecord(failureData)
  // Gone since it was listed, or a lock that nobody holds.
  if (!data && !failure && !isEncrypted(failureData) && !locked) return
  const facts = data && factsOf(data)
  const common = {
    host,
    key,
    failure: failure ? failureFacts(failure) : null,
    locked,
  }
  if (!facts) return { ...common, ...nothing, state: 'no certificate', fault: null }
  if (facts.fault === 'encrypted') return { ...common, ...nothing, state: 'encrypted', fault: null }
  if (facts.fault !== undefined) return { ...common, ...nothing, state: 'corrupt', fault: facts.fault }
  const suggestion = renewalData && parseRenewalInfoRecord(renewalData)
  const window = suggestion?.serialNumber === facts.serialNumber ? suggestion.window : null
  const renewAt = renewalTime({ ...facts, window: window ?? undefined, random: 0 }).at
  const isHosts = coversHost(facts, host)
  return {
    ...common,
    keyType: facts.keyType,
    issuer: facts.issuer,
    notBefore: new Date(facts.notBefore),
    notAfter: new Date(facts.notAfter),
    renewAt: new Date(renewAt),
    state: isHosts ? stateAt(Date.now(), facts, renewAt) : 'corrupt',
    fault: isHosts ? null : 'another host',
  }
}

function stateAt(now: number, { notBefore, notAfter }: CertificateFacts, renewAt: number): Row['state'] {
  if (now >= notAfter) return 'expired'
  if (now < notBefore) return 'not yet valid'
  return now >= renewAt ? 'due' : 'valid'
}

const fields = [
  ...['host', 'key', 'state', 'fault', 'keyType', 'issuer', 'notBefore', 'notAfter', 'renewAt', 'failure'],
  'locked',
] as (keyof Row)[]

/** Small, and without the texts that parts of the row were cut from, such as the whole page of the listing. */
export function pack(
  row: Row,
  order: (row: Row) => string | number,
): { by: string | number; packed: string } {
  const packed = JSON.stringify(fields.map((field) => row[field]))
  return { by: order(unpack(packed)), packed }
}

export function unpack(packed: string): Row {
  const values = JSON.parse(packed) as unknown[]
  const row = Object.fromEntries(fields.map((field, index) => [field, values[index]])) as unknown as Row
  const date = (value: Date | null) => value && new Date(value)
  return {
    ...row,
    notBefore: date(row.notBefore),
    notAfter: date(row.notAfter),
    renewAt: date(row.renewAt),
    failure: row.failure && { ...row.failure, retryAt: new Date(row.failure.retryAt) },
  }
}
