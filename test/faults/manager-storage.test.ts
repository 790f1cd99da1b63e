import { describe, test } from 'vitest'
import { StoreError, type StoreErrorCode } from '../../src/index.js'
import { LockingStore } from '../support/locking-store.js'
import { useManagers } from '../support/managers.js'
import { expectNoOrders, testManagerOn } from './manager-storage-cases.js'
import { faultNamed } from './storage-faults.js'

const t = useManagers()

describe('a store in memory that fails', () => {
  test.each([
    ['ERR_STORE_UNREACHABLE', undefined],
    ['ERR_STORE_TIMEOUT', undefined],
    ['ERR_STORE_PERMISSION', 403],
    ['ERR_STORE_FAILED', 503],
    // A response that concerns one entry only.
    ['ERR_STORE_FAILED', 409],
  ] as [StoreErrorCode, number | undefined][])(
    'with %s, status %s: the manager places no order, and serves certificates in memory',
    async (code, statusCode) => {
      const store = new LockingStore()
      await expectNoOrders(t, store, {
        breakStore() {
          store.before = () => {
            throw new StoreError(code, 'down', { statusCode })
          }
        },
        mendStore() {
          store.before = () => {}
        },
      })
    },
  )
})

describe('a container that fails', () => {
  testManagerOn(t, faultNamed('503 ServerBusy'))
  testManagerOn(t, faultNamed('accepts and never answers'))
})
