import { describe } from 'vitest'
import { certCacheContract } from '../../src/testing/index.js'
import { dir } from './backends.js'
import { isSlow, testCases } from './cases.js'

describe('DirCertCache keeps the contract', () => {
  testCases(certCacheContract(dir).filter((testCase) => !isSlow(testCase)))
})
