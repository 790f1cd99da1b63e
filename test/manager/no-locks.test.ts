import { setTimeout as delay } from 'node:timers/promises'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { AzureBlobCertCache, StoreError } from '../../src/index.js'
import { azurite, freshContainer } from '../support/azure.js'
import { makeBundle } from '../support/certificates.js'
import { LockingStore } from '../support/locking-store.js'
import { useManagers } from '../support/managers.js'
import { openTap } from '../support/tap.js'

const t = useManagers()
const warnings: Error[] = []
const onWarning = (warning: Error) => {
  if (warning.name === 'CertCacheWarning') warnings.push(warning)
}
beforeEach(() => {
  warnings.length = 0
  process.on('warning', onWarning)
})
afterEach(() => process.off('warning', onWarning))

const hosts = Array.from({ length: 8 }, (_, index) => `${index}.example`)
const onePerMachine = expect.objectContaining({
  message: expect.stringMatching(/^acme-cert-cache: locks are not permitted, so each machine .*may not lock/),
})

test('without permission to lock, 8 hosts are issued concurrently, with one process warning', async () => {
  const store = new LockingStore()
  t.store = store
  store.before = async (operation, key) => {
    // Latency, so that many operations run at once and fail together.
    await delay(20)
    if (operation === 'lock')
      throw new StoreError('ERR_STORE_PERMISSION', `may not lock ${key}`, { statusCode: 403 })
  }
  const { manager, events } = await t.machine({ hostPolicy: hosts })
  await manager.ensure(hosts)
  expect(t.ca.counts).toMatchObject({ accounts: 1, orders: 8 })
  expect(hosts.filter((host) => store.values.has(host))).toEqual(hosts)
  // One for each host and one for the account key.
  expect(events.storeFailed).toHaveLength(9)
  await expect.poll(() => warnings).toEqual([onePerMachine])
})

test('uses a certificate that a peer has stored by the time the lock is refused', async () => {
  const store = new LockingStore()
  t.store = store
  const { data, serialNumber } = await makeBundle({ host: 'a.example' })
  store.before = (operation, key) => {
    if (operation !== 'lock') return
    store.values.set('a.example', data)
    throw new StoreError('ERR_STORE_PERMISSION', `may not lock ${key}`, { statusCode: 403 })
  }
  const { manager } = await t.machine()
  expect(await manager.getCertificate('a.example')).toMatchObject({ serialNumber })
  expect(t.ca.counts.orders).toBe(0)
})

test('on Azure, the warning names the role that grants permission to lock', async () => {
  const { connect } = await freshContainer()
  const tap = await openTap(azurite().endpoint)
  try {
    const mayNot = { status: 403, code: 'AuthorizationPermissionMismatch' }
    tap.fault((_, path) => (path.endsWith('+lock') ? mayNot : undefined))
    const cache = await AzureBlobCertCache.connect({ ...connect, endpoint: tap.endpoint })
    const { manager } = await t.machine({ cache })
    await manager.getCertificate('a.example')
    await expect
      .poll(() => warnings)
      .toEqual([
        expect.objectContaining({ message: expect.stringContaining('Storage Blob Data Contributor') }),
      ])
  } finally {
    await tap.close()
  }
})
