import { afterEach, describe, expect, test } from 'vitest'
import type { CertCache, CertCacheLock, LockingCertCache } from '../../src/index.js'
import { refusal, useManagers } from '../support/managers.js'
import { handshake } from '../support/tls.js'
import { faultyContainer, storageFaults } from './storage-faults.js'

const t = useManagers()
const closers: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const close of closers.splice(0)) await close()
})

/** A store that can be exchanged for another under its user. */
class Exchangeable implements LockingCertCache {
  current: LockingCertCache
  constructor(current: LockingCertCache) {
    this.current = current
  }
  get: CertCache['get'] = (...args) => this.current.get(...args)
  put: CertCache['put'] = (...args) => this.current.put(...args)
  delete: CertCache['delete'] = (...args) => this.current.delete(...args)
  tryLock = (name: string): Promise<CertCacheLock | undefined> => this.current.tryLock(name)
}

describe.each(storageFaults)('$name', (fault) => {
  test('no order; what is in memory is served; handshakes fail at once soon, and work again within 30 s', async () => {
    const container = await faultyContainer(fault)
    closers.push(container.close)
    const healthy = await container.warm()
    const cache = new Exchangeable(healthy)
    const { tlsPort, events } = await t.machine({ cache })
    const { serialNumber } = await handshake(tlsPort, 'a.example')
    cache.current = await container.cold()
    await container.break()
    container.tap.take()

    // Warm: from memory. Cold: refused, until nobody asks the store any more.
    for (let times = 0; times < 8; times++) {
      expect(await handshake(tlsPort, 'a.example')).toMatchObject({ serialNumber })
      await expect(handshake(tlsPort, 'b.example')).rejects.toMatchObject(refusal)
    }
    expect(events.handshakeFailed).toHaveLength(8)
    for (const { error } of events.handshakeFailed ?? []) {
      expect(error).toMatchObject({ name: 'StoreError' })
    }
    const conflicts = typeof fault.fault === 'object' && [409, 412].includes(fault.fault.status)
    expect(events.storeFailed).toHaveLength(conflicts ? 8 : 5)
    expect(t.ca.ordersFor('b.example')).toBe(0)
    await expect.poll(() => container.tap.pending).toBe(0)

    await container.mend()
    cache.current = healthy
    t.clock.jump(15_000)
    await handshake(tlsPort, 'b.example')
    expect(t.ca.ordersFor('b.example')).toBe(1)
    expect(t.ca.ordersFor('a.example')).toBe(1)
  })
})
