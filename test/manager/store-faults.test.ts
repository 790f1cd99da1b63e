import { describe, expect, test } from 'vitest'
import { StoreError } from '../../src/index.js'
import { LockingStore } from '../support/locking-store.js'
import { refusal, sniCallback, useManagers } from '../support/managers.js'
import { StillClock } from '../support/still-clock.js'
import { handshake } from '../support/tls.js'

const t = useManagers()

describe('a store that fails', () => {
  test('is not treated as a miss: the handshake fails, and nothing is ordered', async () => {
    const clock = new StillClock()
    const { tlsPort, events, manager } = await t.machine({ clock })
    t.store.before = () => Promise.reject(new Error('down'))
    await expect(handshake(tlsPort, 'a.example')).rejects.toMatchObject(refusal)
    expect(t.ca.counts.orders).toBe(0)
    expect(events.storeFailed).toMatchObject([{ operation: 'get', key: 'a.example' }])
    expect(events.handshakeFailed).toMatchObject([{ error: { code: 'ERR_STORE_FAILED' } }])
    expect(manager.status()).toMatchObject([{ host: 'a.example', lastError: { code: 'ERR_STORE_FAILED' } }])
    t.store.before = () => {}
    clock.advance(5_000)
    await handshake(tlsPort, 'a.example')
    expect(manager.status()).toMatchObject([{ host: 'a.example', source: 'acme' }])
    expect(manager.status()[0]).not.toHaveProperty('lastError')
  })

  test.each(['a.example+failure', 'acme_account+key'])('is not treated as a miss for %s', async (broken) => {
    const { tlsPort } = await t.machine({ clock: new StillClock() })
    t.store.before = (_, key) => (key === broken ? Promise.reject(new Error('down')) : undefined)
    await expect(handshake(tlsPort, 'a.example')).rejects.toMatchObject(refusal)
    expect(t.ca.counts).toMatchObject({ accounts: 0, orders: 0 })
    expect([...t.store.values.keys()].filter((key) => key !== 'acme_probe')).toEqual([])
  })

  test.each(['text', 0, [1]])('returns %j instead of bytes: an error, not a miss', async (value) => {
    const { manager, events } = await t.machine()
    t.store.get = async () => value as never
    await expect(manager.getCertificate('a.example')).rejects.toMatchObject({
      code: 'ERR_STORE_FAILED',
      message: expect.stringMatching(/"get" for "a\.example" failed: get must resolve with a Uint8Array/),
    })
    expect(events.storeFailed).toHaveLength(1)
    expect(t.ca.counts.orders).toBe(0)
  })

  test('never answers: the handshake ends after 30 s, the operation with ERR_STORE_TIMEOUT', async () => {
    const { manager, events } = await t.machine()
    t.store.before = () => new Promise(() => {})
    const answer = sniCallback(manager)('a.example')
    await expect.poll(() => t.store.operations).toEqual(['get a.example'])
    t.clock.jump(30_000)
    await answer
    await expect.poll(() => events.storeFailed).toMatchObject([{ error: { code: 'ERR_STORE_TIMEOUT' } }])
    expect(t.ca.counts.orders).toBe(0)
  })

  test('rejects the certificate: it is served, put again, and not ordered again', async () => {
    const clock = new StillClock()
    const { tlsPort, events, manager } = await t.machine({ clock })
    t.store.before = (operation, key) => {
      if (operation === 'put' && key === 'a.example') throw new Error('full')
    }
    const { serialNumber } = await handshake(tlsPort, 'a.example')
    expect(await handshake(tlsPort, 'a.example')).toMatchObject({ serialNumber })
    expect(events.storeFailed).toMatchObject([{ operation: 'put', key: 'a.example' }])
    expect(t.store.values.has('a.example')).toBe(false)
    t.store.before = () => {}
    clock.advance(1_000)
    await expect.poll(() => t.store.values.has('a.example')).toBe(true)
    expect(t.ca.counts.orders).toBe(1)
    await manager.close()
  })

  test('rejects the challenge answer: the CA does not validate, and no failure is recorded', async () => {
    const { tlsPort } = await t.machine()
    t.store.before = (operation, key) => {
      if (operation === 'put' && key === 'a.example+token') throw new Error('full')
    }
    await expect(handshake(tlsPort, 'a.example')).rejects.toMatchObject(refusal)
    expect(t.ca.counts.validations).toBe(0)
    expect([...t.store.values.keys()].sort()).toEqual(['acme_account+key', 'acme_probe'])
  })

  test('is read-only: nothing is ordered, and handshakes succeed within 15 s once it is writable', async () => {
    const clock = new StillClock()
    const { tlsPort, events } = await t.machine({ clock })
    t.store.before = (operation, key) => {
      if (operation === 'put' && key !== 'acme_account+key') throw new Error('read-only')
    }
    for (let times = 0; times < 10; times++) {
      await expect(handshake(tlsPort, 'a.example')).rejects.toMatchObject(refusal)
      clock.advance(5_000)
    }
    expect(t.ca.counts.orders).toBe(0)
    expect(events.handshakeFailed?.at(-1)).toMatchObject({ error: { code: 'ERR_STORE_FAILED' } })
    t.store.before = () => {}
    clock.advance(15_000)
    await handshake(tlsPort, 'a.example')
  })

  test('is read every 5 s, not at each handshake, for a host that is postponed', async () => {
    const clock = new StillClock()
    t.ca.fault({ on: 'newOrder', type: 'rateLimited', retryAfter: 86_400 })
    const { tlsPort } = await t.machine({ clock })
    const many = async () => {
      for (let i = 0; i < 5; i++) await expect(handshake(tlsPort, 'a.example')).rejects.toMatchObject(refusal)
      return t.store.take()
    }
    await many()
    expect(await many()).toEqual([])
    clock.advance(5_000)
    // A peer may have a certificate by now.
    expect(await many()).toEqual(['get a.example', 'get a.example+failure'])
  })

  test('rejects the failure record: this machine still honours it', async () => {
    const clock = new StillClock()
    const { tlsPort, events, manager } = await t.machine({ clock })
    const fault = t.ca.fault({ on: 'newOrder', type: 'rateLimited', retryAfter: 86_400, times: Infinity })
    t.store.before = (operation, key) => {
      if (operation === 'put' && key === 'a.example+failure') throw new Error('read-only')
    }
    for (let i = 0; i < 5; i++) await expect(handshake(tlsPort, 'a.example')).rejects.toMatchObject(refusal)
    expect(fault.hits).toBe(1)
    expect(events.issuanceFailed).toMatchObject([{ error: { retryAt: expect.any(Date) } }])
    expect(manager.status()).toMatchObject([{ lastError: { code: 'ERR_ISSUANCE_POSTPONED' } }])
    clock.advance(86_400_000)
    await expect(handshake(tlsPort, 'a.example')).rejects.toMatchObject(refusal)
    expect(fault.hits).toBe(2)
  })
})

/** One machine's connection to a store, of which the test can break single operations. */
class Connection extends LockingStore {
  readonly #store: LockingStore
  constructor(store: LockingStore) {
    super()
    this.#store = store
  }
  override async get(key: string) {
    await this.enter('get', key)
    return this.#store.get(key)
  }
  override async put(key: string, data: Uint8Array) {
    await this.enter('put', key)
    return this.#store.put(key, data)
  }
  override async tryLock(name: string) {
    await this.enter('lock', name)
    return this.#store.tryLock(name)
  }
}

describe('a machine whose store', () => {
  const busy = () => {
    throw new StoreError('ERR_STORE_FAILED', 'busy', { statusCode: 503 })
  }
  const hosts = Array.from({ length: 20 }, (_, index) => `h${index}.example`)
  const hostPolicy = () => true

  test('fails writes serves all stored hosts, and answers the challenges of its peers', async () => {
    const shared = new LockingStore()
    const connection = new Connection(shared)
    const healthy = await t.machine({ cache: shared, hostPolicy })
    const sick = await t.machine({ cache: connection, hostPolicy })
    connection.before = (operation) => {
      if (operation !== 'get') busy()
    }
    // Opens the breaker of writes.
    for (let index = 0; index < 10; index++)
      await expect(sick.manager.getCertificate(`new${index}.example`)).rejects.toBeInstanceOf(StoreError)
    // The CA reaches the sick machine, which started last.
    await healthy.manager.ensure(hosts)
    expect(t.ca.counts).toMatchObject({ orders: 20, certificates: 20 })
    for (const host of hosts) await handshake(sick.tlsPort, host)
  })

  test('failed reads answers the challenges of its peers as soon as the store has recovered', async () => {
    const shared = new LockingStore()
    const connection = new Connection(shared)
    const healthy = await t.machine({ cache: shared, hostPolicy })
    const sick = await t.machine({ cache: connection, hostPolicy, clock: new StillClock() })
    connection.before = busy
    for (const host of hosts)
      await expect(sick.manager.getCertificate(host)).rejects.toBeInstanceOf(StoreError)
    connection.before = () => {}
    await healthy.manager.ensure(['a.example'])
    expect(t.ca.counts).toMatchObject({ orders: 1, certificates: 1 })
  })
})
