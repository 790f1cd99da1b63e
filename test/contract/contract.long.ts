// The cases of the contract that wait for real leases and time-outs. They run concurrently.
import { describe } from 'vitest'
import { certCacheContract } from '../../src/testing/index.js'
import { azureBlob, dir, memory } from './backends.js'
import { isSlow, testCases, waitsForTimeout } from './cases.js'

describe.concurrent('AzureBlobCertCache keeps the contract', () => {
  // A time-out well below the 30 s that the contract allows.
  const cases = certCacheContract(azureBlob('hang', 15_000))
  testCases(cases.filter((testCase) => isSlow(testCase) || waitsForTimeout(testCase)))
})

describe.concurrent('DirCertCache keeps the contract', () => {
  testCases(certCacheContract(dir).filter(isSlow))
})

describe.concurrent('MemoryCertCache keeps the contract', () => {
  testCases(certCacheContract(memory()).filter(isSlow))
})
