import { describe, test } from 'vitest'
import { AzureBlobCertCache } from '../../src/index.js'
import { certCacheContract } from '../../src/testing/index.js'
import { azurite, freshContainer } from '../support/azure.js'
import { openTap } from '../support/tap.js'

const contract = certCacheContract({
  async open() {
    const { client, connect } = await freshContainer()
    const tap = await openTap(azurite().endpoint)
    return {
      store: await AzureBlobCertCache.connect({ ...connect, endpoint: tap.endpoint }),
      peer: () => AzureBlobCertCache.connect(connect),
      cutOff: () => tap.fault(() => 'hang'),
      async close() {
        await tap.close()
        await client.delete()
      },
    }
  },
  without: ['list'],
})

describe.concurrent('AzureBlobCertCache keeps the contract', () => {
  for (const { name, run, timeoutMs } of contract) test(name, { timeout: timeoutMs }, run)
})
