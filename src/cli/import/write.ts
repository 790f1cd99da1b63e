import { createPrivateKey } from 'node:crypto'
import type { LockingCertCache } from '../../cache/cert-cache.js'
import { releaseQuietly } from '../../cache/once-per-fleet.js'
import { checkBundle, encodeBundle, type Validity } from '../../certificates/certificate-bundle.js'
import { type CertId, certName } from '../../certificates/certificate-id.js'
import { normalizeHost } from '../../certificates/hostname.js'
import { exportKey } from '../../certificates/private-key.js'
import { certificateKey, entryKey } from '../../certificates/storage-layout.js'
import { formatMinute } from '../console/format.js'
import { withCleanup } from '../console/with-cleanup.js'
import { type CertificateDetails, detailsFault, parseCertificate } from '../container/certificate-details.js'
import { validateCertificate } from './validate.js'

/** The result for one key of the store. */
export interface Outcome {
  /** `locked`: another machine holds the lock, so nothing was written. */
  readonly verdict: 'written' | 'kept' | 'refused' | 'locked'
  /** The key; absent if the source is refused as a whole. */
  readonly key?: string
  /** The reason or the details, for the user. */
  readonly note: string
}

/** Where and how to write. */
export interface Destination {
  /** The CA, as the prefix of its keys. */
  readonly ca: string
  readonly store: LockingCertCache
  readonly isDryRun: boolean
  /** Returns why the certificate must not be stored under this CA's keys, or `undefined`. May ask the user. */
  objection(certificate: CertificateDetails): Promise<string | undefined>
}

export const refuse = (note: string): Outcome => ({ verdict: 'refused', note })

/** Stores a certificate under each of its names, unless the store already has one that is as new or newer. */
export async function importCertificate(pem: string, destination: Destination): Promise<Outcome[]> {
  const certificate = validateCertificate(pem)
  if ('reason' in certificate) return [refuse(certificate.reason)]
  const { leafKey, chain, details } = certificate
  const data = encodeBundle(leafKey, chain)
  const hosts = new Set(details.names.map(normalizeHost).filter((host) => host !== undefined))
  if (hosts.size === 0) {
    return [refuse(`no DNS name without a wildcard: ${details.names.join(', ') || 'no names'}`)]
  }
  const keyType = leafKey.asymmetricKeyType === 'rsa' ? 'rsa-2048' : 'ecdsa-p256'
  const outcomes: Outcome[] = []
  for (const host of hosts) {
    const id: CertId = { ca: destination.ca, name: certName(host), keyType }
    const { fault } = checkBundle(data, id, Date.now())
    if (fault !== undefined) {
      outcomes.push({ verdict: 'refused', key: host, note: fault })
      continue
    }
    const key = certificateKey(id)
    const compare = () => compareWithStored(id, details, destination)
    outcomes.push(
      (await compare()) ??
        (await findObjection(key, details, destination)) ??
        (await write(key, data, destination, compare)) ?? {
          verdict: 'written',
          key,
          note: `issued by ${details.issuer}, expires ${formatMinute(new Date(details.notAfter))}`,
        },
    )
  }
  return outcomes
}

/** Stores an account key, unless the store already has one. */
export async function importAccountKey(pem: string, destination: Destination): Promise<Outcome> {
  const { ca, store } = destination
  const key = entryKey({ kind: 'account key', ca })
  const compare = async (): Promise<Outcome | undefined> =>
    (await store.get(key)) && { verdict: 'kept', key, note: 'the container has an account key' }
  const kept = await compare()
  if (kept) return kept
  let value: string
  try {
    value = exportKey(createPrivateKey(pem))
  } catch {
    return { verdict: 'refused', key, note: 'not a private key in PEM' }
  }
  const outcome = await write(key, Buffer.from(value), destination, compare)
  return outcome ?? { verdict: 'written', key, note: 'account key' }
}

/** Returns an outcome if the stored value must not be replaced. */
async function compareWithStored(
  id: CertId,
  certificate: CertificateDetails,
  { store }: Destination,
): Promise<Outcome | undefined> {
  const key = certificateKey(id)
  const data = await store.get(key)
  const stored = data && parseCertificate(data)
  if (stored?.fault === 'encrypted') {
    return { verdict: 'refused', key, note: 'the stored value is encrypted' }
  }
  if (!stored || stored.fault !== undefined) return undefined
  // Servers ignore a certificate that has such a fault.
  if (detailsFault(stored, id) !== undefined) return undefined
  if (isNewer(certificate, stored)) return undefined
  const reason =
    stored.serialNumber === certificate.serialNumber
      ? 'already stored'
      : 'the stored certificate is as new or newer'
  return { verdict: 'kept', key, note: `${reason}, expires ${formatMinute(new Date(stored.notAfter))}` }
}

async function findObjection(
  key: string,
  certificate: CertificateDetails,
  destination: Destination,
): Promise<Outcome | undefined> {
  const note = await destination.objection(certificate)
  return note === undefined ? undefined : { verdict: 'refused', key, note }
}

/**
 * Writes a value under the lock that servers hold while they order or renew. Returns an outcome if it writes nothing:
 * another machine holds the lock, or `compare` finds another value in the store than before.
 */
async function write(
  key: string,
  value: Uint8Array,
  { store, isDryRun }: Destination,
  compare: () => Promise<Outcome | undefined>,
): Promise<Outcome | undefined> {
  if (isDryRun) return undefined
  return withCleanup(async () => {
    const locked = {
      verdict: 'locked',
      key,
      note: 'another machine holds the lock to order or renew it',
    } as const
    const lock = await store.tryLock(key)
    if (!lock) return locked
    try {
      const outcome = await compare()
      if (outcome) return outcome
      lock.signal.throwIfAborted()
      await store.put(key, value, { signal: lock.signal })
      return undefined
    } catch (thrown) {
      if (lock.signal.aborted) return locked
      throw thrown
    } finally {
      await releaseQuietly(lock)
    }
  })
}

/** Compares as servers do, except that of two equal periods the stored certificate is kept. */
const isNewer = (a: Validity, b: Validity): boolean =>
  (a.notBefore - b.notBefore || a.notAfter - b.notAfter) > 0
