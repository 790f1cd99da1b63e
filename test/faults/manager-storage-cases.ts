import { expect, onTestFinished, test } from 'vitest'
import type { CertCache, CertCacheLock, LockingCertCache } from '../../src/index.js'
import { type Managers, refusal } from '../support/managers.js'
import { StillClock } from '../support/still-clock.js'
import { handshake } from '../support/tls.js'
import { faultyContainer, type StorageFault } from './storage-faults.js'
import { controlStoreTime } from './store-time.js'

/** A store whose implementation a test can replace. */
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

/** Expects eight handshakes for a host in memory to succeed and eight others to fail, until the store recovers. */
export async function expectNoOrders(
  t: Managers,
  store: LockingCertCache,
  { breakStore, mendStore }: Outage,
): Promise<void> {
  const clock = new StillClock()
  const { tlsPort, events } = await t.machine({ cache: store, clock })
  const { serialNumber } = await handshake(tlsPort, 'a.example')
  await breakStore()
  for (let times = 0; times < 8; times++) {
    expect(await handshake(tlsPort, 'a.example')).toMatchObject({ serialNumber })
    await expect(handshake(tlsPort, 'b.example')).rejects.toMatchObject(refusal)
  }
  expect(events.handshakeFailed).toHaveLength(8)
  for (const { error } of events.handshakeFailed ?? []) expect(error).toMatchObject({ name: 'StoreError' })
  // The handshakes share one failure for 5 s.
  expect(events.storeFailed).toHaveLength(1)
  expect(t.ca.ordersFor('b.example')).toBe(0)
  await mendStore()
  clock.advance(15_000)
  await handshake(tlsPort, 'b.example')
  expect(t.ca.ordersFor('b.example')).toBe(1)
  expect(t.ca.ordersFor('a.example')).toBe(1)
}

interface Outage {
  readonly breakStore: () => unknown
  readonly mendStore: () => unknown
}

/** Registers the test of a manager on a container with this fault. */
export function testManagerOn(t: Managers, fault: StorageFault): void {
  test(`${fault.name}: places no order, serves certificates in memory, fails other handshakes, recovers within 15 s`, async () => {
    const container = await faultyContainer(fault)
    onTestFinished(container.close)
    const healthy = await container.warm()
    const store = new Exchangeable(healthy)
    let time: ReturnType<typeof controlStoreTime> | undefined
    onTestFinished(() => time?.close())
    await expectNoOrders(t, store, {
      async breakStore() {
        time = controlStoreTime()
        const cold = await container.cold()
        const get: CertCache['get'] = async (...args) => {
          const result = await time?.untilSettled(cold.get(...args), fault, container)
          if (result?.status === 'fulfilled') return result.value
          throw result?.reason
        }
        store.current = Object.assign(Object.create(cold), { get })
        await container.break()
      },
      async mendStore() {
        await expect.poll(() => container.tap.pending).toBe(0)
        time?.close()
        await container.mend()
        store.current = healthy
      },
    })
  })
}
