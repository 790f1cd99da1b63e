import { describe } from 'vitest'
import { testFailingRenewals, testLostRenewal, testRecoveredRenewal } from './lease-cases.js'
import { operationNames, testOperations } from './storage-cases.js'
import { faultNamed, storageFaults } from './storage-faults.js'

describe('each fault during one operation', () => {
  for (const fault of storageFaults) testOperations(fault, ['get'], ['cold', 'warm'])
})
const others = operationNames.filter((name) => name !== 'get')
describe.each(['reset', 'stalls in the body', '409 ContainerBeingDeleted', '503 ServerBusy'])(
  'a fault during each other operation',
  (name) => {
    testOperations(faultNamed(name), others, ['cold', 'warm'])
  },
)
describe('a renewal of the lease', () => {
  testFailingRenewals(faultNamed('reset'))
  testFailingRenewals(faultNamed('accepts and never answers'))
  testRecoveredRenewal(faultNamed('reset'))
  testLostRenewal(faultNamed('412 ConditionNotMet'))
})
