import { createPrivateKey } from 'node:crypto'
import type { CertCache } from '../../cache/cert-cache.js'
import { checkBundle, encodeBundle, type Validity } from '../../certificates/certificate-bundle.js'
import { certName } from '../../certificates/certificate-id.js'
import { normalizeHost } from '../../certificates/hostname.js'
import { exportKey } from '../../certificates/private-key.js'
import { certificateKey, entryKey } from '../../certificates/storage-layout.js'
import { toError } from '../../util/errors.js'
import { formatMinute } from '../console/format.js'
import { parseCertificate } from '../container/certificate-details.js'
import { validateCertificate } from './validate.js'

/** The result for one key of the store. */
export interface Outcome {
  readonly verdict: 'written' | 'kept' | 'refused'
  /** The key and details, for the user. */
  readonly text: string
}

/** Writes a value, or does nothing in a dry run. */
export type Write = (key: string, value: Uint8Array) => Promise<void>

export const refuse = (reason: string): Outcome => ({ verdict: 'refused', text: `(${reason})` })

/** Stores a certificate under each of its names, unless the store already has one that is as new or newer. */
export async function importCertificate(
  pem: string,
  ca: string,
  store: CertCache,
  write: Write,
): Promise<Outcome[]> {
  const certificate = validateCertificate(pem)
  if ('reason' in certificate) return [refuse(certificate.reason)]
  const { leafKey, chain, details } = certificate
  const data = encodeBundle(leafKey, chain)
  const hosts = new Set(details.names.map(normalizeHost).filter((host) => host !== undefined))
  if (hosts.size === 0) {
    const names = details.names.join(', ') || 'it has no DNS name'
    return [refuse(`no name that is served without wildcards: ${names}`)]
  }
  const keyType = leafKey.asymmetricKeyType === 'rsa' ? 'rsa-2048' : 'ecdsa-p256'
  const outcomes: Outcome[] = []
  for (const host of hosts) {
    const { fault } = checkBundle(data, host, Date.now())
    if (fault !== undefined) {
      outcomes.push({ verdict: 'refused', text: `${host} (${fault})` })
      continue
    }
    const key = certificateKey({ ca, name: certName(host), keyType })
    const storedData = await store.get(key)
    const stored = storedData && parseCertificate(storedData)
    if (stored?.fault === 'encrypted') {
      outcomes.push({ verdict: 'refused', text: `${key} (what is there is encrypted)` })
      continue
    }
    if (stored && stored.fault === undefined && !isNewer(details, stored)) {
      const storedExpiry = formatMinute(new Date(stored.notAfter))
      const reason =
        stored.serialNumber === details.serialNumber ? 'it is there' : 'what is there is not older'
      outcomes.push({ verdict: 'kept', text: `${key} (${reason}, until ${storedExpiry})` })
      continue
    }
    await write(key, data)
    const expiry = formatMinute(new Date(details.notAfter))
    outcomes.push({ verdict: 'written', text: `${key} (${details.issuer}, until ${expiry})` })
  }
  return outcomes
}

/** Compares as the manager does, except that of two equal periods the stored certificate stays. */
const isNewer = (a: Validity, b: Validity): boolean =>
  (a.notBefore - b.notBefore || a.notAfter - b.notAfter) > 0

/** Stores an account key, unless the store already has one. */
export async function importAccountKey(
  pem: string,
  ca: string,
  store: CertCache,
  write: Write,
): Promise<Outcome> {
  const key = entryKey({ kind: 'account key', ca })
  if (await store.get(key)) return { verdict: 'kept', text: `${key} (there is one)` }
  let value: string
  try {
    value = exportKey(createPrivateKey(pem))
  } catch (thrown) {
    return { verdict: 'refused', text: `${key} (no private key: ${toError(thrown).name})` }
  }
  await write(key, Buffer.from(value))
  return { verdict: 'written', text: `${key} (account key)` }
}
