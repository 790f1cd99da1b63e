import { describe } from 'vitest'
import { certCacheContract } from '../../src/testing/index.js'
import { azureBlob } from './backends.js'
import { hasManyRequests, isSlow, testCases, waitsForTimeout } from './cases.js'

const quickCases = certCacheContract(azureBlob('hang')).filter((testCase) => !isSlow(testCase))

describe('AzureBlobCertCache keeps the contract', () => {
  testCases(quickCases.filter((testCase) => !waitsForTimeout(testCase) && !hasManyRequests(testCase)))
})

describe('AzureBlobCertCache keeps the contract when its connections are reset', () => {
  testCases(certCacheContract(azureBlob('reset')).filter(waitsForTimeout))
})
