import { describe } from 'vitest'
import { testFailingRenewals, testLostRenewal, testRecoveredRenewal } from './lease-cases.js'
import { operationNames, testOperations } from './storage-cases.js'
import { faultNamed, storageFaults } from './storage-faults.js'

describe('each fault during one operation', () => {
  for (const fault of storageFaults) testOperations(fault, ['get'], ['warm'])
})
describe('one fault during each operation', () => {
  testOperations(faultNamed('503 ServerBusy'), operationNames, ['warm'])
})
describe('a renewal of the lease', () => {
  testFailingRenewals(faultNamed('503 ServerBusy'))
  testRecoveredRenewal(faultNamed('503 ServerBusy'))
  testLostRenewal(faultNamed('412 ConditionNotMet'))
})
