import { type CertificateBundle, decodeBundle } from '../../certificates/certificate-bundle.js'
import { certificateKey, entryKey } from '../../certificates/storage-layout.js'
import { type FailureRecord, parseFailureRecord } from '../../issuance/records.js'
import { CommandError } from '../console/errors.js'
import type { Target } from '../flags/target.js'
import { type CertificateDetails, type InvalidBundle, parseCertificate } from './certificate-details.js'
import type { Connection } from './connection.js'
import { isEncrypted } from './encryption.js'

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
  if (!data || !certificate) throw notFoundError(target, connection)
  const bundle = decodeBundle(data)
  if (certificate.fault !== undefined || 'fault' in bundle) {
    throw unusableError(target, certificate.fault ?? 'unreadable')
  }
  return { bundle, certificate }
}

export const notFoundError = ({ id }: Target, { containerName }: Connection): CommandError =>
  new CommandError(
    `there is no ${certificateKey(id)} in container ${containerName}: see what there is with ls; --rsa, --directory and --key-prefix choose another`,
  )

export function unusableError({ id }: Target, fault: string): CommandError {
  const key = certificateKey(id)
  return new CommandError(
    fault === 'encrypted'
      ? `${key} is encrypted: get it through an EncryptedCertCache, in a program that has the key`
      : `${key} can’t be served: ${fault}; remove it with rm, so that a new one is ordered`,
  )
}
