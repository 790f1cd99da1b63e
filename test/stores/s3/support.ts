import { S3Client, type S3ClientConfig } from '@aws-sdk/client-s3'
import { S3CertCache, type S3CertCacheOptions } from '../../../src/stores/s3/index.js'
import { openFakeS3 } from '../../support/s3-fake.js'
import { openTap } from '../../support/tap.js'

export const secrets = { accessKeyId: 'AKIDOFTHETESTS', secretAccessKey: 'theSecretOfTheTests' }

/** Opens a bucket on a fake S3 server, behind a proxy that injects faults. */
export async function openBucket(behaviour?: Parameters<typeof openFakeS3>[0]) {
  const s3 = await openFakeS3(behaviour)
  const tap = await openTap(s3.endpoint)
  const clients: S3Client[] = []
  return {
    s3,
    tap,
    /** Creates a store with its own client, which does not retry. */
    store(options: S3CertCacheOptions & { client?: S3ClientConfig; bucket?: string } = {}) {
      const { client: settings, bucket = s3.bucket, ...storeOptions } = options
      const client = new S3Client({
        endpoint: tap.endpoint,
        region: 'us-east-1',
        credentials: secrets,
        forcePathStyle: true,
        maxAttempts: 1,
        ...settings,
      })
      clients.push(client)
      // Healthy requests may be slow on a busy machine.
      return new S3CertCache(client, bucket, { timeoutMs: 60_000, ...storeOptions })
    },
    async close() {
      for (const client of clients) client.destroy()
      await tap.close()
      await s3.close()
    },
  }
}
