import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { ClientRequest } from 'node:http'
import { setImmediate as turn } from 'node:timers/promises'
import { expect, onTestFinished, test, vi } from 'vitest'
import { faultyContainer, type StorageFault } from './storage-faults.js'

/** Acquires a lock on a container with this fault in virtual time, and counts the requests to renew it. */
async function lockWith(fault: StorageFault) {
  const container = await faultyContainer(fault)
  onTestFinished(container.close)
  const underWay = new Set<ClientRequest>()
  const listener = (change: (request: ClientRequest) => unknown) => (message: unknown) => {
    const { request } = message as { request: ClientRequest }
    if (request.host.endsWith('.invalid')) change(request)
  }
  const channels = {
    'http.client.request.start': listener((request) => underWay.add(request)),
    'http.client.response.finish': listener((request) => underWay.delete(request)),
    'http.client.request.error': listener((request) => underWay.delete(request)),
  }
  for (const [name, listen] of Object.entries(channels)) {
    subscribe(name, listen)
    onTestFinished(() => void unsubscribe(name, listen))
  }
  const cache = await container.withDefaults()
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
  onTestFinished(() => void vi.useRealTimers())
  const lock = (await cache.tryLock('c.example')) ?? expect.unreachable()
  container.tap.take()
  /** Advances time by steps of 1 s. Requests that do not hang end within the step in which they start. */
  const pass = async (seconds: number) => {
    for (let second = 0; second < seconds; second++) {
      await vi.advanceTimersByTimeAsync(1_000)
      do for (let turns = 0; turns < 20; turns++) await turn()
      while (underWay.size > (fault.fault === 'hang' ? container.tap.pending : 0))
    }
  }
  const renewals = () => container.tap.take().filter((request) => request.endsWith('/c.example+lock')).length
  return { container, lock, pass, renewals }
}

/** Registers the test of a lease whose renewals all fail. */
export function testFailingRenewals(fault: StorageFault): void {
  test(`a lease is lost at its end after repeated renewals fail under the fault "${fault.name}"`, async () => {
    const { container, lock, pass, renewals } = await lockWith(fault)
    await container.break()
    await pass(24)
    expect(lock.signal.aborted).toBe(false)
    expect(renewals()).toBeGreaterThanOrEqual(2)
    await pass(2)
    expect(lock.signal.reason).toMatchObject({
      code: 'ERR_LOCK_LOST',
      message: expect.stringMatching(/not renewed in time/),
    })
    await pass(5)
    expect(vi.getTimerCount()).toBe(0)
  })
}

/** Registers the test of a lease whose renewals fail temporarily. */
export function testRecoveredRenewal(fault: StorageFault): void {
  test(`a lease survives renewals that fail temporarily under the fault "${fault.name}"`, async () => {
    const { container, lock, pass, renewals } = await lockWith(fault)
    await container.break()
    await pass(13)
    expect(renewals()).toBeGreaterThanOrEqual(1)
    await container.mend()
    await pass(40)
    expect(lock.signal.reason).toBeUndefined()
    vi.useRealTimers()
    await lock.release()
  })
}

/** Registers the test of a lease that another machine has acquired. */
export function testLostRenewal(fault: StorageFault): void {
  test(`a lease is lost as soon as a renewal returns ${fault.name}`, async () => {
    const { container, lock, pass } = await lockWith(fault)
    await container.break()
    await pass(9)
    expect(lock.signal.aborted).toBe(false)
    await pass(3)
    expect(lock.signal.reason).toMatchObject({
      code: 'ERR_LOCK_LOST',
      message: expect.stringMatching(/another holder has acquired it/),
    })
    await pass(5)
    expect(vi.getTimerCount()).toBe(0)
  })
}
