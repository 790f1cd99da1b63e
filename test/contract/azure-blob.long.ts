// The cases of the contract that make hundreds of requests, each with a time-out of a minute.
import { describe } from 'vitest'
import { certCacheContract } from '../../src/testing/index.js'
import { azureBlob } from './backends.js'
import { hasManyRequests, testCases } from './cases.js'

describe('AzureBlobCertCache keeps the contract with many requests', () => {
  testCases(certCacheContract(azureBlob('hang')).filter(hasManyRequests))
})
