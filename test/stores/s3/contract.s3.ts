import { S3Client } from '@aws-sdk/client-s3'
import { afterAll, beforeAll, describe, test } from 'vitest'
import { S3CertCache } from '../../../src/stores/s3/index.js'
import { certCacheContract } from '../../../src/testing/index.js'
import { clientSettings, startS3Server } from '../../support/s3-server.js'
import { openTap } from '../../support/tap.js'

let server: Awaited<ReturnType<typeof startS3Server>>
beforeAll(async () => {
  server = await startS3Server()
})
afterAll(() => server?.close())

async function open() {
  const bucket = await server.freshBucket()
  const tap = await openTap(server.endpoint)
  const clients: S3Client[] = []
  const handle = (endpoint: string) => {
    const client = new S3Client(clientSettings(endpoint))
    clients.push(client)
    return new S3CertCache(client, bucket, { prefix: 'tls/', timeoutMs: 60_000 })
  }
  return {
    store: handle(tap.endpoint),
    peer: async () => handle(server.endpoint),
    cutOff: () => tap.fault(() => 'reset'),
    mend: () => tap.fault(() => undefined),
    close: async () => {
      for (const client of clients) client.destroy()
      await tap.close()
    },
  }
}

describe.concurrent('S3CertCache keeps the contract on a real server', () => {
  for (const { name, timeoutMs, run } of certCacheContract({ open })) test(name, { timeout: timeoutMs }, run)
})
