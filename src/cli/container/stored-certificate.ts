import { type CertificateBundle, decodeBundle } from '../../certificates/certificate-bundle.js'
import { certificateKey, entryKey, parseKey } from '../../certificates/storage-layout.js'
import { type FailureRecord, parseFailureRecord } from '../../issuance/store/records.js'
import { CommandError } from '../console/errors.js'
import type { Target } from '../flags/target.js'
import { type CertificateDetails, type InvalidBundle, parseCertificate } from './certificate-details.js'
import type { Connection } from './connection.js'
import { isEncrypted } from './encryption.js'

/** How many blobs are searched for a similar key: ten requests. */
const maxSearched = 10_000

export interface StoredCertificate {
  readonly data: Uint8Array | undefined
  readonly certificate: CertificateDetails | InvalidBundle | undefined
  readonly failure: FailureRecord | undefined
  readonly isFailureEncrypted: boolean
}

/** Reads a host's certificate and failure record. */
export async function readCertificate({ store }: Connection, { id }: Target): Promise<StoredCertificate> {
  const [data, failureData] = await Promise.all([
    store.get(certificateKey(id)),
    store.get(entryKey({ kind: 'failure', id })),
  ])
  return {
    data,
    certificate: data && parseCertificate(data),
    failure: failureData && parseFailureRecord(failureData),
    isFailureEncrypted: isEncrypted(failureData),
  }
}

/**
 * Reads a host's certificate and its private key.
 * @throws {CommandError} if there is none, or it is invalid or encrypted; the validity period is not checked
 */
export async function requireCertificate(
  connection: Connection,
  target: Target,
): Promise<{ bundle: CertificateBundle; certificate: CertificateDetails }> {
  const { data, certificate } = await readCertificate(connection, target)
  if (!data || !certificate) throw await notFoundError(target, connection)
  const bundle = decodeBundle(data)
  if (certificate.fault !== undefined || 'fault' in bundle) {
    throw unusableError(target, certificate.fault ?? 'unreadable')
  }
  return { bundle, certificate }
}

/**
 * Creates the error for a certificate that does not exist. If the container has one for the same host from another CA or
 * with another key type, names its key.
 */
export async function notFoundError({ host, id }: Target, connection: Connection): Promise<CommandError> {
  const found = await findKeysOf(host, connection)
  const advice =
    found.length > 0
      ? `Found ${found.map((key) => `"${key}"`).join(', ')}. Select it with --directory, --key-prefix or --rsa, or pass the key without these flags.`
      : 'Run ls to list the certificates.'
  return new CommandError(
    `no certificate "${certificateKey(id)}" in container "${connection.containerName}". ${advice}`,
  )
}

/** Returns up to three keys of the host's certificates. Without the permission to list, returns none. */
async function findKeysOf(host: string, { store }: Connection): Promise<string[]> {
  const keys: string[] = []
  let remaining = maxSearched
  try {
    for await (const { name } of store.list()) {
      const parsed = parseKey(name)
      if (parsed.kind === 'certificate' && parsed.id.name === (host as string)) keys.push(name)
      if (keys.length === 3 || --remaining === 0) break
    }
  } catch {} // the search only improves the error message
  return keys
}

export function unusableError({ id }: Target, fault: string): CommandError {
  const key = certificateKey(id)
  return new CommandError(
    fault === 'encrypted'
      ? `"${key}" is encrypted. Read it through an EncryptedCertCache, in a program that has the key.`
      : `"${key}" is corrupt: ${fault}. Servers ignore it, and place a new order when they need it. Remove it with rm.`,
  )
}
