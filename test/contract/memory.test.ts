import { describe, test } from 'vitest'
import { certCacheContract, MemoryCertCache } from '../../src/testing/index.js'

const contract = certCacheContract({
  async open() {
    const store = new MemoryCertCache()
    return { store, peer: async () => store.peer(), cutOff: () => store.cutOff(), close: async () => {} }
  },
})

describe.concurrent('MemoryCertCache keeps the contract', () => {
  for (const { name, run, timeoutMs } of contract) test(name, { timeout: timeoutMs }, run)
})
