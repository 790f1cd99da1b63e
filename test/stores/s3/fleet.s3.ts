import { afterAll, beforeAll } from 'vitest'
import { S3CertCache, type S3CertCacheOptions } from '../../../src/stores/s3/index.js'
import { fleetCases } from '../../fleet/cases.js'
import { beforeFinalize, challengePending, takeoverCases } from '../../fleet/takeover-cases.js'
import { clientSettings, startS3Server } from '../../support/s3-server.js'
import { openTap } from '../../support/tap.js'

let server: Awaited<ReturnType<typeof startS3Server>>
beforeAll(async () => {
  server = await startS3Server()
})
afterAll(() => server?.close())

async function place(options: S3CertCacheOptions = {}) {
  const bucket = await server.freshBucket()
  return {
    store: new S3CertCache(server.client, bucket),
    async way() {
      const tap = await openTap(server.endpoint)
      return {
        settings: { kind: 's3' as const, client: clientSettings(tap.endpoint), bucket, options },
        cut: () => tap.fault(() => 'hang'),
        mend: () => tap.fault(() => undefined),
        close: () => tap.close(),
      }
    },
    close: async () => {},
  }
}

// Long enough for a busy machine: a store that times out is tested elsewhere.
fleetCases('S3', () => place({ timeoutMs: 60_000 }))
takeoverCases('S3', () => place(), { killed: [challengePending], stopped: [beforeFinalize], cutOff: true })
