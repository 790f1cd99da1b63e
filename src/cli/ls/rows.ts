import { lockKey } from '../../cache/cert-cache.js'
import { type CertId, certName, type KeyType } from '../../certificates/certificate-id.js'
import { normalizeHost } from '../../certificates/hostname.js'
import { renewalTime } from '../../certificates/renewal-time.js'
import { certificateKey, entryKey } from '../../certificates/storage-layout.js'
import { parseFailureRecord, parseRenewalInfoRecord } from '../../issuance/store/records.js'
import { type CertificateDetails, detailsFault, parseCertificate } from '../container/certificate-details.js'
import type { Connection } from '../container/connection.js'
import { isEncrypted } from '../container/encryption.js'
import { type EntryGroup, formatCa } from '../container/entries.js'
import { type FailureSummary, summariseFailure } from '../container/failure-summary.js'
import { conflictCode } from '../container/service-code.js'

/** The status of a host's certificate for one key type. `ls --json` prints it as it is, with times in ISO 8601. */
export interface Row {
  readonly host: string
  /** The host of the CA's directory; empty for keys without prefix. */
  readonly ca: string
  /** The certificate's key in the store. */
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
  /** The reason for the states `corrupt` and `unreadable`. */
  readonly fault: string | null
  readonly keyType: string | null
  readonly issuer: string | null
  readonly notBefore: Date | null
  readonly notAfter: Date | null
  /** The start of renewal by a manager with the default `renewBeforeMs`. */
  readonly renewAt: Date | null
  readonly failure: FailureSummary | null
  /** Whether a machine is placing an order or reading the CA's renewal information. */
  readonly locked: boolean
}

/** Reads a host's blobs. Resolves with one row for each key type that the host has blobs for. */
export async function readRows(group: EntryGroup, connection: Connection): Promise<Row[]> {
  const rows = await Promise.all(
    (['ecdsa-p256', 'rsa-2048'] as const).map((keyType) => readRow(group, keyType, connection)),
  )
  return rows.filter((row) => row !== undefined)
}

const noDetails = { keyType: null, issuer: null, notBefore: null, notAfter: null, renewAt: null }

async function readRow(
  group: EntryGroup,
  keyType: KeyType,
  connection: Connection,
): Promise<Row | undefined> {
  const host = normalizeHost(group.name)
  if (host !== group.name) return
  const id = { ca: group.ca, name: certName(host), keyType }
  const key = certificateKey(id)
  const names = new Set(group.entries.map(({ entry }) => entry.name))
  if (![key, entryKey({ kind: 'failure', id }), lockKey(key)].some((name) => names.has(name))) return
  try {
    return toRow(host, id, await readBlobs(id, names, connection))
  } catch (thrown) {
    const fault = conflictCode(thrown)
    if (fault === undefined) throw thrown
    const ca = formatCa(id.ca)
    return { host, ca, key, ...noDetails, failure: null, locked: false, state: 'unreadable', fault }
  }
}

/** Sends one request for each listed blob. */
async function readBlobs(id: CertId, listedNames: ReadonlySet<string>, { store, getBlobState }: Connection) {
  const key = certificateKey(id)
  const renewalKey = entryKey({ kind: 'renewal', id })
  const read = async (name: string) => (listedNames.has(name) ? store.get(name) : undefined)
  const locks = [lockKey(key), lockKey(renewalKey)].filter((name) => listedNames.has(name))
  const [data, failureData, renewalData, ...leased] = await Promise.all([
    read(key),
    read(entryKey({ kind: 'failure', id })),
    read(renewalKey),
    ...locks.map(async (name) => (await getBlobState(name))?.isLeased),
  ])
  return { data, failureData, renewalData, locked: leased.includes(true) }
}

function toRow(
  host: string,
  id: CertId,
  { data, failureData, renewalData, locked }: Awaited<ReturnType<typeof readBlobs>>,
): Row | undefined {
  const failure = failureData && parseFailureRecord(failureData)
  // The blobs were deleted after the listing, or the only one is a released lock.
  if (!data && !failure && !isEncrypted(failureData) && !locked) return
  const certificate = data && parseCertificate(data)
  const common = {
    host,
    ca: formatCa(id.ca),
    key: certificateKey(id),
    failure: failure ? summariseFailure(failure) : null,
    locked,
  }
  if (!certificate) return { ...common, ...noDetails, state: 'no certificate', fault: null }
  if (certificate.fault === 'encrypted') return { ...common, ...noDetails, state: 'encrypted', fault: null }
  if (certificate.fault !== undefined) {
    return { ...common, ...noDetails, state: 'corrupt', fault: certificate.fault }
  }
  const renewalInfo = renewalData && parseRenewalInfoRecord(renewalData)
  const window = renewalInfo?.serialNumber === certificate.serialNumber ? renewalInfo.window : null
  const renewAt = renewalTime({ ...certificate, window: window ?? undefined, random: 0 }).at
  const fault = detailsFault(certificate, id) ?? null
  return {
    ...common,
    keyType: certificate.keyType,
    issuer: certificate.issuer,
    notBefore: new Date(certificate.notBefore),
    notAfter: new Date(certificate.notAfter),
    renewAt: new Date(renewAt),
    state: fault === null ? stateAt(Date.now(), certificate, renewAt) : 'corrupt',
    fault,
  }
}

function stateAt(now: number, { notBefore, notAfter }: CertificateDetails, renewAt: number): Row['state'] {
  if (now >= notAfter) return 'expired'
  if (now < notBefore) return 'not yet valid'
  return now >= renewAt ? 'due' : 'valid'
}
