import { expect, test } from 'vitest'
import { ClosedError, HostError, IssuanceError, StoreError } from '../../src/index.js'
import { certId, host as hostOf, occasion } from '../support/cert-id.js'
import { type OpenService, openService as setup } from '../support/certificate-service.js'
import { makeBundle } from '../support/certificates.js'
import { LockingStore } from '../support/locking-store.js'

const host = hostOf('a.example')
const minute = 60_000

test('find() refuses a host that the policy does not allow, although its certificate is stored', async () => {
  const { store, world, service } = setup()
  store.values.set(host, (await makeBundle({ host })).data)
  world.isAllowed = false
  await expect(service.find(host, occasion)).rejects.toBeInstanceOf(HostError)
  expect(store.take()).toEqual([])
  expect(service.fromMemory(host)).toBeUndefined()
  world.isAllowed = true
  expect(await service.find(host, occasion)).toMatchObject({ id: { name: host } })
})

test('obtain() refuses a host that the policy does not allow before it reads or orders', async () => {
  const { store, world, service } = setup()
  world.isAllowed = false
  await expect(service.obtain(host, occasion)).rejects.toBeInstanceOf(HostError)
  expect(store.take()).toEqual([])
  expect(world.orders).toBe(0)
})

test('find() orders nothing', async () => {
  const { world, service } = setup()
  expect(await service.find(host, occasion)).toBeUndefined()
  expect(world.orders).toBe(0)
})

/** A certificate in memory that is due. */
async function due({ store, clock, service }: OpenService) {
  store.values.set(host, (await makeBundle({ host })).data)
  const live = (await service.find(host, occasion)) ?? expect.unreachable()
  clock.advance(live.schedule.renewAt - clock.now())
  return live
}

test('a renewal that the policy refuses is attempted no sooner than the next check', async () => {
  const world = setup()
  const live = await due(world)
  world.world.isAllowed = false
  await world.service.renew(live)
  expect(world.events).toContain('renewalFailed')
  expect(live.schedule.checkEveryMs).toBe(60 * minute)
  expect(world.attempts.renewalNotBefore(live)).toBe(world.clock.now() + 60 * minute)
})

test('a renewal that the CA postpones is attempted again at its retry time, or after 1 hour to read the record', async () => {
  const world = setup()
  const live = await due(world)
  for (const [minutes, pause] of [
    [50, 50],
    [5_000, 60],
  ] as const) {
    const retryAt = new Date(world.clock.now() + minutes * minute)
    world.world.error = new IssuanceError('ERR_ISSUANCE_FAILED', 'no', { retryAt })
    await world.service.renew(live)
    expect(world.attempts.renewalNotBefore(live)).toBe(world.clock.now() + pause * minute)
  }
})

test('a host whose order is postponed is read from the store every 5 s', async () => {
  const { store, clock, world, service } = setup()
  const retryAt = new Date(clock.now() + 60 * minute)
  world.error = new IssuanceError('ERR_ISSUANCE_FAILED', 'no', { retryAt })
  await expect(service.obtain(host, occasion)).rejects.toThrow('no')
  store.take()
  clock.advance(4_999)
  await expect(service.obtain(host, occasion)).rejects.toMatchObject({
    code: 'ERR_ISSUANCE_POSTPONED',
    retryAt,
  })
  expect(store.take()).toEqual([])
  clock.advance(1)
  store.values.set(host, (await makeBundle({ host })).data)
  expect(await service.obtain(host, occasion)).toMatchObject({ id: { name: host } })
})

test('a host is ordered again at its retry time if that is in less than 5 s', async () => {
  const { clock, world, service } = setup()
  const problem = { type: 'urn:ietf:params:acme:error:rateLimited', status: 429 }
  const retryAt = new Date(clock.now() + 2_000)
  world.error = new IssuanceError('ERR_ISSUANCE_FAILED', 'no', { retryAt, problem })
  await expect(service.obtain(host, occasion)).rejects.toThrow('no')
  clock.advance(1_999)
  const postponed = { code: 'ERR_ISSUANCE_POSTPONED', retryAt, problem }
  await expect(service.obtain(host, occasion)).rejects.toMatchObject(postponed)
  expect(world.orders).toBe(1)
  clock.advance(1)
  await expect(service.obtain(host, occasion)).rejects.toThrow('no')
  expect(world.orders).toBe(2)
})

test('a postponed host is read from the store within 5 s after the clock was set back', async () => {
  const { store, clock, world, service } = setup()
  const retryAt = new Date(clock.now() + 60 * minute)
  world.error = new IssuanceError('ERR_ISSUANCE_FAILED', 'no', { retryAt })
  await expect(service.obtain(host, occasion)).rejects.toThrow('no')
  clock.advance(-minute)
  store.values.set(host, (await makeBundle({ host })).data)
  await expect(service.obtain(host, occasion)).rejects.toMatchObject({ code: 'ERR_ISSUANCE_POSTPONED' })
  clock.advance(5_000)
  expect(await service.obtain(host, occasion)).toMatchObject({ id: { name: host } })
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
  await expect(service.find(host, occasion)).rejects.toBeInstanceOf(ClosedError)
  expect(store.take()).toEqual([])
})

test('a request that waits for another machine ends with the reason of the close', async () => {
  const store = new LockingStore()
  const { closing, service } = setup(10, store)
  await store.tryLock(host)
  const ended = service.obtain(host, occasion).catch((reason: unknown) => reason)
  await expect.poll(() => store.operations.filter((entry) => entry === `lock ${host}`)).toHaveLength(2)
  const reason = new ClosedError('the CertManager was closed')
  closing.abort(reason)
  await service.close(10_000)
  expect(await ended).toBe(reason)
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
    expect(await service.refresh(certId(host))).toMatchObject({ serialNumber: kept.serialNumber })
  }
  expect(events).toEqual(['loaded', 'adopted'])
})

test('status() returns the errors of the most recent hosts, up to memory.max', async () => {
  const { service } = setup(2)
  for (const name of ['a.example', 'b.example', 'c.example'])
    await expect(service.obtain(hostOf(name), occasion)).rejects.toThrow('no')
  expect(service.status().map((status) => status.host)).toEqual(['b.example', 'c.example'])
})

test('status() does not name hosts that the policy refused', async () => {
  const { world, service } = setup()
  world.isAllowed = false
  await expect(service.obtain(host, occasion)).rejects.toThrow()
  expect(service.status()).toEqual([])
})

test('a certificate that is due when the CA issues it waits for its renewal, unlike one from the store', async () => {
  const day = 1_440 * minute
  const { store, clock, world, attempts, service } = setup()
  const dates = { notBefore: new Date(clock.now() - 80 * day), notAfter: new Date(clock.now() + 10 * day) }
  const bundleOf = async (name: string) => (await makeBundle({ host: name, ...dates })).data
  world.placeOrder = ({ id }) => bundleOf(id.name)
  const issued = await service.obtain(host, occasion)
  expect(issued.source).toBe('acme')
  expect(issued.schedule.renewAt).toBeLessThan(clock.now())
  // Certificates state whole seconds.
  expect(attempts.renewalNotBefore(issued)).toBeCloseTo(clock.now() + (90 * day) / 4, -4)
  store.values.set('b.example', await bundleOf('b.example'))
  const found = (await service.find(hostOf('b.example'), occasion)) ?? expect.unreachable()
  expect(found.source).toBe('store')
  expect(attempts.renewalNotBefore(found)).toBe(0)
})

test('the record of a certificate that the store refuses is removed once the store accepts the certificate', async () => {
  const store = new LockingStore()
  const { clock, world, service } = setup(10, store)
  const { data } = await makeBundle({ host })
  world.placeOrder = async () => data
  store.before = (operation, key) => {
    if (operation === 'put' && key === host)
      throw new StoreError('ERR_STORE_FAILED', 'leased', { statusCode: 409 })
  }
  await service.obtain(host, occasion)
  const record = `${host}+failure`
  await expect
    .poll(() => {
      if (!store.values.has(record)) clock.advance(1_000)
      return store.values.has(record) && !store.held(host)
    })
    .toBe(true)
  store.before = () => {}
  clock.advance(300_000)
  await expect.poll(() => store.values.has(host)).toBe(true)
  await expect.poll(() => store.held(host)).toBe(false)
  expect([...store.values.keys()]).toEqual([host])
  expect(store.take().slice(-2)).toEqual([`delete ${record}`, `unlock ${host}`])
})
