// Opens the store of a machine of the fleet.
import { AzureBlobCertCache, DirCertCache } from 'acme-cert-cache'

/**
 * @typedef {{ kind: 'azure', connect: import('acme-cert-cache').AzureConnectOptions }
 *   | { kind: 'dir', path: string }
 *   | { kind: 's3', client: object, bucket: string, options: import('acme-cert-cache/s3').S3CertCacheOptions }
 *   | { kind: 'sql', target: import('../stores/sql/connect.js').Target, table: string }} StoreSettings
 */

/** Opens the store, and loads only its client, as a user does. */
export async function openStore(/** @type {StoreSettings} */ settings) {
  if (settings.kind === 'azure') return AzureBlobCertCache.connect(settings.connect)
  if (settings.kind === 'dir') return new DirCertCache(settings.path)
  if (settings.kind === 's3') {
    const { S3Client } = await import('@aws-sdk/client-s3')
    const { S3CertCache } = await import('acme-cert-cache/s3')
    return new S3CertCache(new S3Client(settings.client), settings.bucket, settings.options)
  }
  const { connectTo } = await import('../stores/sql/connect.js')
  const { SqlCertCache } = await import('acme-cert-cache/sql')
  const { database } = await connectTo(settings.target)
  return new SqlCertCache(database, { table: settings.table })
}
