import { expect, test } from 'vitest'
import { storageLayout } from '../../src/certificates/storage-layout.js'
import { ClosedError, HostError, IssuanceError } from '../../src/index.js'
import { FailureRecords } from '../../src/issuance/failure-records.js'
import { CertificateService } from '../../src/manager/certificate-service.js'
import { PolicyGate } from '../../src/manager/host-policy.js'
import { makeBundle } from '../support/certificates.js'
import { MemoryStore } from '../support/memory-store.js'
import { VirtualClock } from '../support/virtual-clock.js'

const host = 'a.example'
const minute = 60_000

/** A service with a store, and a CA that refuses everything. */
function setup(max = 1_000) {
  const store = new MemoryStore()
  const clock = new VirtualClock()
  const layout = storageLayout('https://ca.example/directory', 'ecdsa-p256', '')
  const closing = new AbortController()
  const world = { isAllowed: true, orders: 0, error: new IssuanceError('ERR_ISSUANCE_FAILED', 'no') }
  const events: string[] = []
  const service = new CertificateService({
    store,
    layout,
    policy: new PolicyGate(() => world.isAllowed, clock, closing.signal),
    failures: new FailureRecords(store, layout, clock),
    async issue() {
      world.orders += 1
      throw world.error
    },
    max,
    renewBeforeMs: undefined,
    clock,
    closing: closing.signal,
    report: (event) => events.push(event),
    onNewCertificate: () => {},
    onCheckDue: () => {},
  })
  return { store, clock, closing, world, events, service }
}

test('find() refuses a host that the policy does not allow, although its certificate is stored', async () => {
  const { store, world, service } = setup()
  store.values.set(host, (await makeBundle({ host })).data)
  world.isAllowed = false
  await expect(service.find(host)).rejects.toBeInstanceOf(HostError)
  expect(store.take()).toEqual([])
  expect(service.fromMemory(host)).toBeUndefined()
  world.isAllowed = true
  expect(await service.find(host)).toMatchObject({ host })
})

test('obtain() refuses a host that the policy does not allow before it reads or orders', async () => {
  const { store, world, service } = setup()
  world.isAllowed = false
  await expect(service.obtain(host)).rejects.toBeInstanceOf(HostError)
  expect(store.take()).toEqual([])
  expect(world.orders).toBe(0)
})

test('find() orders nothing', async () => {
  const { world, service } = setup()
  expect(await service.find(host)).toBeUndefined()
  expect(world.orders).toBe(0)
})

/** A certificate in memory that is due. */
async function due({ store, clock, service }: ReturnType<typeof setup>) {
  store.values.set(host, (await makeBundle({ host })).data)
  const live = (await service.find(host)) ?? expect.unreachable()
  clock.advance(live.schedule.renewAt - clock.now())
  return live
}

test('a renewal that the policy refuses is attempted no sooner than the next check', async () => {
  const world = setup()
  const { schedule, ...live } = await due(world)
  world.world.isAllowed = false
  await world.service.renew({ ...live, schedule })
  expect(world.events).toContain('renewalFailed')
  expect(schedule.checkEveryMs).toBe(60 * minute)
  expect(schedule.attemptAt).toBe(world.clock.now() + 60 * minute)
})

test('a renewal that the CA postpones is attempted no sooner than it allows', async () => {
  const world = setup()
  const live = await due(world)
  const retryAt = new Date(world.clock.now() + 5_000 * minute)
  world.world.error = new IssuanceError('ERR_ISSUANCE_FAILED', 'no', { retryAt })
  await world.service.renew(live)
  expect(live.schedule.attemptAt).toBe(retryAt.getTime())
})

test('a host whose order is postponed is read from the store every 5 s', async () => {
  const { store, clock, world, service } = setup()
  const retryAt = new Date(clock.now() + 60 * minute)
  world.error = new IssuanceError('ERR_ISSUANCE_FAILED', 'no', { retryAt })
  await expect(service.obtain(host)).rejects.toThrow('no')
  store.take()
  clock.advance(4_999)
  await expect(service.obtain(host)).rejects.toMatchObject({ code: 'ERR_ISSUANCE_POSTPONED', retryAt })
  expect(store.take()).toEqual([])
  clock.advance(1)
  store.values.set(host, (await makeBundle({ host })).data)
  expect(await service.obtain(host)).toMatchObject({ host })
})

test('a host is ordered again at its retry time if that is in less than 5 s', async () => {
  const { clock, world, service } = setup()
  const problem = { type: 'urn:ietf:params:acme:error:rateLimited', status: 429 }
  const retryAt = new Date(clock.now() + 2_000)
  world.error = new IssuanceError('ERR_ISSUANCE_FAILED', 'no', { retryAt, problem })
  await expect(service.obtain(host)).rejects.toThrow('no')
  clock.advance(1_999)
  const postponed = { code: 'ERR_ISSUANCE_POSTPONED', retryAt, problem }
  await expect(service.obtain(host)).rejects.toMatchObject(postponed)
  expect(world.orders).toBe(1)
  clock.advance(1)
  await expect(service.obtain(host)).rejects.toThrow('no')
  expect(world.orders).toBe(2)
})

test('a postponed host is read from the store at once after the clock was set back', async () => {
  const { store, clock, world, service } = setup()
  const retryAt = new Date(clock.now() + 60 * minute)
  world.error = new IssuanceError('ERR_ISSUANCE_FAILED', 'no', { retryAt })
  await expect(service.obtain(host)).rejects.toThrow('no')
  clock.advance(-minute)
  store.values.set(host, (await makeBundle({ host })).data)
  expect(await service.obtain(host)).toMatchObject({ host })
})

test('a renewal that close ends is not a failure', async () => {
  const world = setup()
  const live = await due(world)
  world.closing.abort(new ClosedError('closed'))
  await world.service.renew(live)
  expect(world.events).not.toContain('renewalFailed')
  expect(world.service.status()[0]).not.toHaveProperty('lastError')
})

test('find() reads nothing from the store after close', async () => {
  const { store, closing, service } = setup()
  closing.abort(new ClosedError('closed'))
  await expect(service.find(host)).rejects.toBeInstanceOf(ClosedError)
  expect(store.take()).toEqual([])
})

test('of two certificates issued in the same second, the one that expires later is kept', async () => {
  const { store, clock, events, service } = setup()
  const day = 1_440 * minute
  const notBefore = new Date(clock.now() - day)
  const bundle = (days: number) =>
    makeBundle({ host, notBefore, notAfter: new Date(clock.now() + days * day) })
  const [short, middle, long] = [await bundle(80), await bundle(85), await bundle(90)]
  for (const [{ data }, kept] of [
    [middle, middle],
    [short, middle],
    [long, long],
  ] as const) {
    store.values.set(host, data)
    expect(await service.refresh(host)).toMatchObject({ serialNumber: kept.serialNumber })
  }
  expect(events).toEqual(['loaded', 'adopted'])
})

test('status() returns the errors of the most recent hosts, up to memory.max', async () => {
  const { service } = setup(2)
  for (const name of ['a.example', 'b.example', 'c.example'])
    await expect(service.obtain(name)).rejects.toThrow('no')
  expect(service.status().map((status) => status.host)).toEqual(['b.example', 'c.example'])
})

test('status() does not name hosts that the policy refused', async () => {
  const { world, service } = setup()
  world.isAllowed = false
  await expect(service.obtain(host)).rejects.toThrow()
  expect(service.status()).toEqual([])
})
