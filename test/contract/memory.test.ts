import { describe } from 'vitest'
import { certCacheContract } from '../../src/testing/index.js'
import { memory } from './backends.js'
import { isSlow, testCases } from './cases.js'

describe('MemoryCertCache keeps the contract', () => {
  testCases(certCacheContract(memory()).filter((testCase) => !isSlow(testCase)))
})
