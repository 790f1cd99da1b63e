import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { ClientRequest } from 'node:http'
import { setImmediate as turn } from 'node:timers/promises'
import { expect, onTestFinished, test, vi } from 'vitest'
import { faultyContainer, type StorageFault } from './storage-faults.js'

/** A lock on a container with this fault, virtual time, and how often its renewal was requested. */
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
  /** Requests that do not hang end within the second that they began in. */
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

/** Registers the test of what becomes of a lease whose renewals all fail. */
export function testFailingRenewals(fault: StorageFault): void {
  test(`a lease is renewed again and again under the fault "${fault.name}", and lost at its end`, async () => {
    const { container, lock, pass, renewals } = await lockWith(fault)
    await container.break()
    await pass(24)
    expect(lock.signal.aborted).toBe(false)
    expect(renewals()).toBeGreaterThanOrEqual(2)
    await pass(2)
    expect(lock.signal.reason).toMatchObject({
      code: 'ERR_LOCK_LOST',
      message: expect.stringMatching(/could not be renewed in time/),
    })
    await pass(5)
    expect(vi.getTimerCount()).toBe(0)
  })
}

/** Registers the test of what becomes of a lease whose renewals fail for a while. */
export function testRecoveredRenewal(fault: StorageFault): void {
  test(`a lease whose renewals fail for a while under the fault "${fault.name}" is kept`, async () => {
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

/** Registers the test of what becomes of a lease that another machine has taken. */
export function testLostRenewal(fault: StorageFault): void {
  test(`a lease is lost as soon as a renewal is answered with ${fault.name}`, async () => {
    const { container, lock, pass } = await lockWith(fault)
    await container.break()
    await pass(9)
    expect(lock.signal.aborted).toBe(false)
    await pass(3)
    expect(lock.signal.reason).toMatchObject({
      code: 'ERR_LOCK_LOST',
      message: expect.stringMatching(/somebody else has taken it/),
    })
    await pass(5)
    expect(vi.getTimerCount()).toBe(0)
  })
}
