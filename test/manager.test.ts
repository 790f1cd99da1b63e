import { randomBytes } from 'node:crypto'
import { type EventEmitter, once } from 'node:events'
import type { SecureContext } from 'node:tls'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { CertManager, type CertManagerEvents, type CertManagerOptions, IssuanceError } from '../src/index.js'
import { TestCa } from '../src/testing/index.js'
import { makeBundle } from './support/certificates.js'
import { type Gate, openGate } from './support/gate.js'
import { LockingStore } from './support/locking-store.js'
import { MemoryStore } from './support/memory-store.js'
import { ShiftingClock } from './support/shifting-clock.js'
import { handshake, startMachine } from './support/tls.js'

const day = 86_400_000
const refusal = { code: expect.stringMatching(/HANDSHAKE_FAILURE/) }

let ca: TestCa
let gate: Gate
let clock: ShiftingClock
let store: MemoryStore
const closers: (() => Promise<void>)[] = []

beforeEach(async () => {
  clock = new ShiftingClock()
  store = new MemoryStore()
  gate = await openGate()
  ca = await TestCa.start({ tlsPort: gate.port, httpPort: gate.port, now: clock.now })
})
afterEach(async () => {
  for (const close of [...closers.splice(0).reverse(), () => ca.close(), () => gate.close()]) await close()
})

/** A server on the store, which the CA reaches; with what its manager reported. */
async function machine(options: Partial<CertManagerOptions> = {}) {
  const manager = new CertManager({
    cache: store,
    hostPolicy: ['a.example', 'b.example', 'c.example'],
    acme: {
      termsOfServiceAgreed: true,
      directoryUrl: ca.directoryUrl,
      ca: ca.endpointCertificate,
      keyPrefix: '',
    },
    clock,
    ...options,
  })
  const started = await startMachine(manager)
  closers.push(() => started.close().catch(() => {}))
  gate.target = started.tlsPort
  const events: { [E in keyof CertManagerEvents]?: CertManagerEvents[E][0][] } = {}
  for (const name of eventNames) {
    ;(manager as EventEmitter).on(name, (details) => {
      events[name] = [...(events[name] ?? []), details] as never
    })
  }
  return { ...started, manager, events }
}
const eventNames = [
  'served',
  'refused',
  'handshakeFailed',
  'loaded',
  'issued',
  'renewed',
  'issuanceFailed',
  'renewalFailed',
  'invalid',
  'storeFailed',
] as const

const sniCallback = (manager: CertManager) => {
  const { SNICallback } = manager.tlsOptions()
  return (servername: string) =>
    new Promise<SecureContext | undefined>((resolve) => {
      SNICallback(servername, (error, context) => {
        expect(error).toBeNull()
        resolve(context)
      })
    })
}

describe('what a certificate costs the store', () => {
  test('a first issuance: host, failure record, account key, challenge answer put and removed, certificate', async () => {
    const { tlsPort } = await machine()
    await handshake(tlsPort, 'a.example')
    expect(store.take()).toEqual([
      'get a.example',
      'get a.example+failure',
      'get acme_account+key',
      'get acme_account.key',
      'put acme_account+key',
      'put a.example+token',
      'delete a.example+token',
      'put a.example',
    ])
    await handshake(tlsPort, 'b.example')
    expect(store.take()).toEqual([
      'get b.example',
      'get b.example+failure',
      'put b.example+token',
      'delete b.example+token',
      'put b.example',
    ])
  })

  test('a store hit: one request, for any number of handshakes at once', async () => {
    store.values.set('a.example', (await makeBundle({ host: 'a.example' })).data)
    const { tlsPort, events } = await machine()
    await Promise.all(Array.from({ length: 30 }, () => handshake(tlsPort, 'a.example')))
    expect(store.take()).toEqual(['get a.example'])
    expect(events.loaded).toHaveLength(1)
    expect(events.served).toHaveLength(30)
    expect(events.served?.[0]).toMatchObject({ host: 'a.example', source: 'store' })
  })

  test('a memory hit: nothing, in the same tick, with the same context', async () => {
    store.values.set('a.example', (await makeBundle({ host: 'a.example' })).data)
    const { manager } = await machine()
    const { SNICallback } = manager.tlsOptions()
    const first = await sniCallback(manager)('a.example')
    store.take()
    const seen: unknown[] = []
    for (let i = 0; i < 100; i++) SNICallback('A.example.', (_, context) => seen.push(context))
    expect(seen).toHaveLength(100)
    expect(new Set(seen)).toEqual(new Set([first]))
    expect(store.take()).toEqual([])
  })

  test('certificates that memory had no room for come from the store again', async () => {
    for (const host of ['a.example', 'b.example']) store.values.set(host, (await makeBundle({ host })).data)
    const { manager } = await machine({ memory: { max: 1 } })
    const ask = sniCallback(manager)
    for (const host of ['a.example', 'b.example', 'a.example']) await ask(host)
    expect(store.take()).toEqual(['get a.example', 'get b.example', 'get a.example'])
    expect(manager.status().map(({ host }) => host)).toEqual(['a.example'])
  })
})

describe('who is let in', () => {
  test('names outside the policy, and names that are none, cost no request, no order and no memory', async () => {
    const { tlsPort, manager, events } = await machine()
    const requests = ca.counts.requests
    for (const name of [
      'evil.example',
      'www.a.example',
      'localhost',
      'a_b.example',
      `${'x'.repeat(60)}.example`,
    ]) {
      await expect(handshake(tlsPort, name)).rejects.toMatchObject(refusal)
    }
    const ask = sniCallback(manager)
    for (const name of [
      '',
      '192.0.2.1',
      '*.a.example',
      'a.example:443',
      '\u0000',
      'xn--.example',
      'x'.repeat(300),
    ]) {
      await ask(name)
    }
    expect(store.take()).toEqual([])
    expect(ca.counts.requests).toBe(requests)
    expect(manager.status()).toEqual([])
    expect(events.refused?.filter(({ reason }) => reason === 'policy')).toHaveLength(3)
    expect(events.refused?.filter(({ reason }) => reason === 'name')).toHaveLength(9)
  })

  test.each([
    [
      'throws',
      () => {
        throw new Error('no database')
      },
    ],
    [
      'throws what is no Error',
      () => {
        throw 'no database'
      },
    ],
    ['rejects', () => Promise.reject(new Error('no database'))],
    ['says neither yes nor no', () => undefined as never],
    ['says "true"', () => 'true' as never],
  ])('a policy that %s lets nobody in', async (_, hostPolicy: () => boolean | Promise<boolean>) => {
    const { tlsPort, events } = await machine({ hostPolicy })
    await expect(handshake(tlsPort, 'a.example')).rejects.toMatchObject(refusal)
    expect(store.take()).toEqual([])
    expect([...(events.refused ?? []), ...(events.handshakeFailed ?? [])]).toHaveLength(1)
  })

  test('a policy that never answers ends with the handshake’s budget', async () => {
    const asked: string[] = []
    const hostPolicy = (host: string) => {
      asked.push(host)
      return new Promise<boolean>(() => {})
    }
    const { tlsPort, events, manager } = await machine({ hostPolicy })
    const client = handshake(tlsPort, 'a.example')
    client.catch(() => {})
    const ask = sniCallback(manager)('b.example')
    await expect.poll(() => asked).toEqual(['b.example', 'a.example'])
    clock.jump(30_000)
    await ask
    await expect.poll(() => events.handshakeFailed).toHaveLength(2)
    await expect(client).rejects.toMatchObject(refusal)
    expect(store.take()).toEqual([])
  })

  test('a policy is asked for the normalised name, and not at warm handshakes', async () => {
    const asked: string[] = []
    const hostPolicy = async (host: string) => asked.push(host) > 0
    store.values.set('xn--mnchen-3ya.example', (await makeBundle({ host: 'xn--mnchen-3ya.example' })).data)
    const { manager } = await machine({ hostPolicy })
    await manager.getCertificate('MÜNCHEN.example.')
    await manager.getCertificate('münchen.example')
    expect(asked).toEqual(['xn--mnchen-3ya.example'])
  })
})

describe('a store that fails', () => {
  test('is not a miss: the handshake fails, and nothing is ordered', async () => {
    const { tlsPort, events, manager } = await machine()
    store.before = () => Promise.reject(new Error('down'))
    await expect(handshake(tlsPort, 'a.example')).rejects.toMatchObject(refusal)
    expect(ca.counts.orders).toBe(0)
    expect(events.storeFailed).toMatchObject([{ operation: 'get', key: 'a.example' }])
    expect(events.handshakeFailed).toMatchObject([{ error: { code: 'ERR_STORE_FAILED' } }])
    expect(manager.status()).toMatchObject([{ host: 'a.example', lastError: { code: 'ERR_STORE_FAILED' } }])
    store.before = () => {}
    await handshake(tlsPort, 'a.example')
    expect(manager.status()).toMatchObject([{ host: 'a.example', source: 'acme' }])
    expect(manager.status()[0]).not.toHaveProperty('lastError')
  })

  test.each(['a.example+failure', 'acme_account+key'])('is not a miss for %s either', async (broken) => {
    const { tlsPort } = await machine()
    store.before = (_, key) => (key === broken ? Promise.reject(new Error('down')) : undefined)
    await expect(handshake(tlsPort, 'a.example')).rejects.toMatchObject(refusal)
    expect(ca.counts).toMatchObject({ accounts: 0, orders: 0 })
    expect([...store.values.keys()]).toEqual([])
  })

  test('never answers: the handshake ends with its budget, the operation with its own', async () => {
    const { manager, events } = await machine()
    store.before = () => new Promise(() => {})
    const answer = sniCallback(manager)('a.example')
    await expect.poll(() => store.operations).toEqual(['get a.example'])
    clock.jump(30_000)
    await answer
    await expect.poll(() => events.storeFailed).toMatchObject([{ error: { code: 'ERR_STORE_TIMEOUT' } }])
    expect(ca.counts.orders).toBe(0)
  })

  test('does not take the certificate: it is served, put again, and not ordered again', async () => {
    const { tlsPort, events, manager } = await machine()
    store.before = (operation, key) => {
      if (operation === 'put' && key === 'a.example') throw new Error('full')
    }
    const { serialNumber } = await handshake(tlsPort, 'a.example')
    expect(await handshake(tlsPort, 'a.example')).toMatchObject({ serialNumber })
    expect(events.storeFailed).toMatchObject([{ operation: 'put', key: 'a.example' }])
    expect(store.values.has('a.example')).toBe(false)
    store.before = () => {}
    clock.jump(1_000)
    await expect.poll(() => store.values.has('a.example')).toBe(true)
    expect(ca.counts.orders).toBe(1)
    await manager.close()
  })

  test('does not take the challenge answer: the CA is not told to look, and the host is not blamed', async () => {
    const { tlsPort } = await machine()
    store.before = (operation, key) => {
      if (operation === 'put' && key === 'a.example+token') throw new Error('full')
    }
    await expect(handshake(tlsPort, 'a.example')).rejects.toMatchObject(refusal)
    expect(ca.counts.validations).toBe(0)
    expect([...store.values.keys()]).toEqual(['acme_account+key'])
  })
})

describe('stored bytes that cannot be served', () => {
  const host = 'a.example'
  test.each([
    ['random bytes', () => randomBytes(3_000), 'no private key'],
    ['truncated', async () => (await makeBundle({ host })).data.subarray(0, 700), 'no certificate'],
    [
      'expired',
      async () => (await makeBundle({ host, notBefore: new Date(0), notAfter: new Date(1_000) })).data,
      'expired',
    ],
    ['another host’s', async () => (await makeBundle({ host: 'b.example' })).data, 'another host'],
    ['10 MB', () => Buffer.alloc(10_000_000, 'x'), 'too large'],
    [
      'of a key that does not match',
      async () => {
        const [{ chain }, { key }] = [await makeBundle({ host }), await makeBundle({ host })]
        return Buffer.from(`${key.export({ format: 'pem', type: 'sec1' })}${chain}`)
      },
      'key mismatch',
    ],
  ])('are a miss, reported once, and ordered once: %s', async (_, bytes, reason) => {
    store.values.set(host, await bytes())
    const { tlsPort, events } = await machine()
    const all = await Promise.all(Array.from({ length: 10 }, () => handshake(tlsPort, host)))
    expect(new Set(all.map(({ serialNumber }) => serialNumber)).size).toBe(1)
    expect(events.invalid).toEqual([{ host, key: host, reason }])
    expect(ca.ordersFor(host)).toBe(1)
  })
})

describe('a CA that fails', () => {
  test('a refused host is not ordered again before its time, by any machine; a success ends that', async () => {
    const one = await machine()
    ca.fault({ on: 'challenge', invalid: true, type: 'unauthorized', detail: 'not yours', times: 2 })
    await expect(handshake(one.tlsPort, 'a.example')).rejects.toMatchObject(refusal)
    const two = await machine()
    for (const { tlsPort } of [one, two]) {
      await expect(handshake(tlsPort, 'a.example')).rejects.toMatchObject(refusal)
    }
    expect(ca.ordersFor('a.example')).toBe(1)
    expect(one.events.issuanceFailed).toMatchObject([
      {
        host: 'a.example',
        error: { problem: { type: expect.stringMatching(/unauthorized$/), detail: 'not yours' } },
      },
    ])
    expect(two.events.handshakeFailed).toMatchObject([{ error: { code: 'ERR_ISSUANCE_POSTPONED' } }])

    clock.jump(67_000) // 1 minute, and a tenth of it at most
    await expect(handshake(two.tlsPort, 'a.example')).rejects.toMatchObject(refusal)
    clock.jump(67_000)
    await expect(handshake(two.tlsPort, 'a.example')).rejects.toMatchObject(refusal)
    expect(ca.ordersFor('a.example')).toBe(2)
    clock.jump(660_000)
    await handshake(two.tlsPort, 'a.example')
    expect(ca.ordersFor('a.example')).toBe(3)
    expect([...store.values.keys()].sort()).toEqual(['a.example', 'acme_account+key'])
  })

  test('a Retry-After is obeyed, and told', async () => {
    const { manager } = await machine()
    const fault = ca.fault({ on: 'newOrder', type: 'rateLimited', retryAfter: 86_400, times: 1 })
    const error: unknown = await manager.getCertificate('a.example').catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(IssuanceError)
    const { retryAt, problem } = error as IssuanceError
    expect(problem).toMatchObject({ type: 'urn:ietf:params:acme:error:rateLimited', status: 429 })
    expect(fault.hits).toBe(1)
    expect(Math.round((Number(retryAt) - clock.now()) / 60_000)).toBe(1_440)
    clock.jump(day - 60_000)
    await expect(manager.getCertificate('a.example')).rejects.toMatchObject({
      code: 'ERR_ISSUANCE_POSTPONED',
    })
    clock.jump(60_000)
    expect(await manager.getCertificate('a.example')).toMatchObject({ host: 'a.example' })
  })

  test('an unreachable CA counts as a failure', async () => {
    const { manager } = await machine({
      acme: { termsOfServiceAgreed: true, directoryUrl: 'https://127.0.0.1:1/directory', keyPrefix: '' },
    })
    await expect(manager.getCertificate('a.example')).rejects.toMatchObject({
      code: 'ERR_ISSUANCE_FAILED',
      message: expect.stringMatching(/did not answer.*ECONNREFUSED/),
    })
    await expect(manager.getCertificate('a.example')).rejects.toMatchObject({
      code: 'ERR_ISSUANCE_POSTPONED',
    })
  })

  test('a CA that hangs: the handshake ends with its budget, the order after 5 minutes, as a failure', async () => {
    const { manager, events } = await machine()
    const fault = ca.fault({ on: 'newOrder', hang: true })
    const answer = sniCallback(manager)('a.example')
    await expect.poll(() => fault.hits).toBe(1)
    clock.jump(30_000)
    await answer
    expect(events.handshakeFailed).toMatchObject([{ error: { code: 'ERR_DEADLINE' } }])
    expect(events.issuanceFailed).toBeUndefined()
    clock.jump(270_000)
    await expect.poll(() => events.issuanceFailed).toMatchObject([{ error: { message: /5 minutes/ } }])
    expect(store.values.has('a.example+failure')).toBe(true)
  })

  test('a slow order goes on behind the handshakes that gave up', async () => {
    ca.validationDelayMs = 300
    const { manager, tlsPort } = await machine()
    const answer = sniCallback(manager)('a.example')
    await expect.poll(() => ca.counts.validations + ca.counts.orders).toBeGreaterThan(0)
    clock.jump(30_000)
    await answer
    const [{ serialNumber }] = await once(manager, 'issued')
    expect(await handshake(tlsPort, 'a.example')).toMatchObject({ serialNumber })
    expect(ca.counts.orders).toBe(1)
  })

  test('the other challenge is tried after a failure', async () => {
    const { manager } = await machine()
    manager.httpHandler() // never mounted: port 80 is blocked
    await expect(manager.getCertificate('a.example')).rejects.toMatchObject({ code: 'ERR_ISSUANCE_FAILED' })
    clock.jump(67_000)
    expect(await manager.getCertificate('a.example')).toMatchObject({ host: 'a.example' })
  })

  test('an account that the CA has lost is registered again with the same key', async () => {
    const { manager } = await machine()
    await manager.getCertificate('a.example')
    const key = store.values.get('acme_account+key')
    ca.fault({ on: 'newOrder', type: 'accountDoesNotExist' })
    await expect(manager.getCertificate('b.example')).rejects.toMatchObject({ code: 'ERR_ISSUANCE_FAILED' })
    clock.jump(67_000)
    await manager.getCertificate('b.example')
    expect(store.values.get('acme_account+key')).toEqual(key)
  })

  test('a stored account key that is none is not replaced, and the error says what to do', async () => {
    store.values.set('acme_account+key', Buffer.from('rubbish'))
    const { manager } = await machine()
    await expect(manager.getCertificate('a.example')).rejects.toThrow(
      /acme_account\+key is not a private key/,
    )
    expect(store.values.get('acme_account+key')).toEqual(Buffer.from('rubbish'))
    expect(ca.counts.accounts).toBe(0)
  })
})

describe('as time passes', () => {
  test('a certificate that is due is renewed behind a handshake, once', async () => {
    const { tlsPort, events, manager } = await machine()
    const { serialNumber } = await handshake(tlsPort, 'a.example')
    clock.jump(59 * day)
    expect(await handshake(tlsPort, 'a.example')).toMatchObject({ serialNumber })
    expect(ca.counts.orders).toBe(1)
    clock.jump(3 * day)
    const renewed = once(manager, 'renewed')
    const all = await Promise.all(Array.from({ length: 10 }, () => handshake(tlsPort, 'a.example')))
    expect(new Set(all.map((seen) => seen.serialNumber))).toEqual(new Set([serialNumber]))
    const [{ serialNumber: next }] = await renewed
    expect(await handshake(tlsPort, 'a.example')).toMatchObject({ serialNumber: next })
    expect(ca.counts.orders).toBe(2)
    expect(events.issued).toHaveLength(1)
  })

  test('what a peer has renewed is adopted, not ordered again', async () => {
    const one = await machine()
    const two = await machine()
    gate.target = one.tlsPort
    await handshake(one.tlsPort, 'a.example')
    await handshake(two.tlsPort, 'a.example')
    clock.jump(63 * day)
    const renewed = once(one.manager, 'renewed')
    await handshake(one.tlsPort, 'a.example')
    const [{ serialNumber }] = await renewed
    const loaded = once(two.manager, 'loaded')
    await handshake(two.tlsPort, 'a.example')
    await loaded
    expect(await handshake(two.tlsPort, 'a.example')).toMatchObject({ serialNumber })
    expect(ca.counts.orders).toBe(2)
  })

  test('a failed renewal leaves the served certificate alone until it expires, and is not repeated at once', async () => {
    const { tlsPort, events, manager } = await machine()
    const { serialNumber } = await handshake(tlsPort, 'a.example')
    clock.jump(63 * day)
    const fault = ca.fault({ on: 'newOrder', type: 'serverInternal', times: 100 })
    const failed = once(manager, 'renewalFailed')
    expect(await handshake(tlsPort, 'a.example')).toMatchObject({ serialNumber })
    await failed
    store.take()
    for (let i = 0; i < 5; i++) expect(await handshake(tlsPort, 'a.example')).toMatchObject({ serialNumber })
    expect(fault.hits).toBe(1)
    expect(store.take()).toEqual([])
    expect(manager.status()).toMatchObject([
      { host: 'a.example', lastError: { code: 'ERR_ISSUANCE_FAILED' } },
    ])
    clock.jump(27 * day)
    await expect(handshake(tlsPort, 'a.example')).rejects.toMatchObject(refusal)
    expect(events.invalid).toMatchObject([{ reason: 'expired' }])
  })

  test('a store that fails does not disturb a certificate that is due, and is asked again after a minute', async () => {
    const { tlsPort, manager } = await machine()
    const { serialNumber } = await handshake(tlsPort, 'a.example')
    clock.jump(63 * day)
    store.before = () => Promise.reject(new Error('down'))
    store.take()
    for (let minute = 0; minute < 2; minute++) {
      const failed = once(manager, 'renewalFailed')
      expect(await handshake(tlsPort, 'a.example')).toMatchObject({ serialNumber })
      await failed
      for (let i = 0; i < 3; i++)
        expect(await handshake(tlsPort, 'a.example')).toMatchObject({ serialNumber })
      expect(store.take()).toEqual(['get a.example'])
      clock.jump(60_000)
    }
    expect(ca.counts.orders).toBe(1)
  })

  test('a renewal’s challenge is answered by a machine that serves the older certificate, from the store', async () => {
    const one = await machine()
    const two = await machine()
    gate.target = one.tlsPort
    const { serialNumber } = await handshake(one.tlsPort, 'a.example')
    expect(await handshake(two.tlsPort, 'a.example')).toMatchObject({ serialNumber })
    gate.target = two.tlsPort
    clock.jump(63 * day)
    const answers: string[] = []
    two.manager.on('challengeAnswered', ({ type, from }) => answers.push(`${type} from ${from}`))
    const renewed = once(one.manager, 'renewed')
    await handshake(one.tlsPort, 'a.example')
    await renewed
    expect(answers).toEqual(['tls-alpn-01 from store'])
    expect(two.events.issued).toBeUndefined()
  })

  test('a CA that validates a renewal over TLS 1.2 is answered from memory', async () => {
    const { tlsPort } = await machine()
    const { serialNumber } = await handshake(tlsPort, 'a.example')
    clock.jump(63 * day)
    ca.validationDelayMs = 60_000
    const overTls12 = (ALPNProtocols: string[]) =>
      handshake(tlsPort, 'a.example', { ALPNProtocols, maxVersion: 'TLSv1.2' })
    expect(await overTls12(['http/1.1'])).toMatchObject({ serialNumber })
    await expect.poll(() => store.values.has('a.example+token')).toBe(true)
    const answer = await overTls12(['acme-tls/1'])
    expect(answer).toMatchObject({ alpn: 'acme-tls/1', names: 'DNS:a.example', protocol: 'TLSv1.2' })
    expect(answer.serialNumber).not.toBe(serialNumber)
  })

  test('renewBeforeMs sets when a certificate is due', async () => {
    const { manager } = await machine({ renewBeforeMs: 10 * day })
    const { notAfter } = await manager.getCertificate('a.example')
    const [status] = manager.status()
    const before = (Number(notAfter) - Number(status?.renewAt)) / day
    expect(before).toBeGreaterThan(8)
    expect(before).toBeLessThanOrEqual(10)
  })
})

describe('a lock that is lost', () => {
  test('while the CA validates: the next holder’s answer is left alone, and the host is not blamed', async () => {
    const locking = new LockingStore()
    store = locking
    ca.validationDelayMs = 60_000
    const { manager, events } = await machine()
    const certificate = manager.getCertificate('a.example')
    await expect.poll(() => store.values.has('a.example+token')).toBe(true)
    ca.validationDelayMs = 0
    const theirs = Buffer.from('the next holder’s answer')
    store.values.set('a.example+token', theirs)
    store.take()
    locking.lose('a.example')
    await expect.poll(() => store.operations.length, { timeout: 10_000 }).toBeGreaterThan(0)
    expect(store.values.get('a.example+token')).toEqual(theirs)
    // It begins again, as nobody else has ordered.
    expect(await certificate).toMatchObject({ host: 'a.example' })
    expect(events.issuanceFailed).toBeUndefined()
    expect(store.values.has('a.example+failure')).toBe(false)
  })

  test('after finalize: the certificate is fetched and stored all the same', async () => {
    const locking = new LockingStore()
    store = locking
    ca.issuanceDelayMs = 500
    const { manager } = await machine()
    const certificate = manager.getCertificate('a.example')
    await expect.poll(() => ca.orders[0]?.status).toBe('processing')
    locking.lose('a.example')
    const { serialNumber } = await certificate
    await expect.poll(() => store.values.has('a.example')).toBe(true)
    expect(ca.issued.map((issued) => issued.serialNumber)).toEqual([serialNumber])
  })

  test('by a close after finalize: the certificate is fetched and stored all the same', async () => {
    ca.issuanceDelayMs = 500
    const { manager } = await machine()
    const certificate = manager.getCertificate('a.example')
    await expect.poll(() => ca.orders[0]?.status).toBe('processing')
    await manager.close()
    expect(await certificate).toMatchObject({ host: 'a.example' })
    expect(store.values.has('a.example')).toBe(true)
  })
})

describe('what else a manager does', () => {
  test('ensure gets certificates ready, and names what it could not get', async () => {
    const { manager, tlsPort } = await machine()
    await manager.ensure(['a.example', 'B.example', 'a.example'])
    expect(ca.counts.orders).toBe(2)
    const failed = manager.ensure(['a.example', 'evil.example', 'localhost'])
    await expect(failed).rejects.toThrow(/2 hosts.*evil\.example/)
    store.take()
    await handshake(tlsPort, 'b.example')
    expect(store.take()).toEqual([])
  })

  test('a client without SNI gets defaultHost’s certificate on an attached server, a renewed one too', async () => {
    const { manager, tlsServer, tlsPort } = await machine({ defaultHost: 'A.example' })
    await expect(handshake(tlsPort, undefined)).rejects.toMatchObject(refusal)
    manager.attach(tlsServer)
    const [{ serialNumber }] = await once(manager, 'issued')
    expect(await handshake(tlsPort, undefined)).toMatchObject({ serialNumber, names: 'DNS:a.example' })
    clock.jump(63 * day)
    const renewed = once(manager, 'renewed')
    await handshake(tlsPort, 'a.example')
    const [{ serialNumber: next }] = await renewed
    expect(await handshake(tlsPort, undefined)).toMatchObject({ serialNumber: next })
    // As on any TLS server with a default certificate, so does a name that is not served.
    expect(await handshake(tlsPort, 'evil.example')).toMatchObject({ serialNumber: next })
  })

  test('attach needs defaultHost', async () => {
    const { manager, tlsServer } = await machine()
    expect(() => manager.attach(tlsServer)).toThrow(/defaultHost/)
  })

  test('getCertificate rejects with the error that tells why', async () => {
    const { manager } = await machine()
    await expect(manager.getCertificate('localhost')).rejects.toMatchObject({ code: 'ERR_HOST_NAME' })
    await expect(manager.getCertificate('evil.example')).rejects.toMatchObject({ code: 'ERR_HOST_POLICY' })
    const certificate = await manager.getCertificate('a.example')
    expect(certificate.cert).toMatch(/^-----BEGIN CERTIFICATE-----/)
    expect(certificate.key).toMatch(/^-----BEGIN EC PRIVATE KEY-----/)
  })

  test('listeners that throw or reject end neither the process nor the handshake', async () => {
    const { manager, tlsPort } = await machine()
    const warnings: string[] = []
    const listen = (warning: Error) => warnings.push(warning.message)
    process.on('warning', listen)
    manager.on('served', () => {
      throw new Error('thrown by a listener')
    })
    manager.on('issued', async () => {
      throw new Error('rejected by a listener')
    })
    await handshake(tlsPort, 'a.example')
    await handshake(tlsPort, 'a.example')
    await expect.poll(() => warnings.join()).toMatch(/rejected by a listener.*thrown by a listener/s)
    process.off('warning', listen)
  })

  test('close ends an order, withdraws its answer, and can be called twice', async () => {
    ca.validationDelayMs = 60_000
    const { manager, tlsPort } = await machine()
    const client = handshake(tlsPort, 'a.example')
    client.catch(() => {})
    await expect.poll(() => store.values.has('a.example+token')).toBe(true)
    await Promise.all([manager.close(), manager.close()])
    await expect(client).rejects.toMatchObject(refusal)
    expect([...store.values.keys()]).toEqual(['acme_account+key'])
    await expect(manager.getCertificate('a.example')).rejects.toMatchObject({ code: 'ERR_CLOSED' })
  })
})
