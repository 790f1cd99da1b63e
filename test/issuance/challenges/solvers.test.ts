import { createHash, X509Certificate } from 'node:crypto'
import { expect, test } from 'vitest'
import type { ChallengeType } from '../../../src/acme/challenges.js'
import { decodeBundle } from '../../../src/certificates/certificate-bundle.js'
import type { KeyType } from '../../../src/certificates/certificate-id.js'
import { type CacheOperationOptions, StoreError } from '../../../src/index.js'
import { ChallengeAnswers } from '../../../src/issuance/challenges/challenge-answers.js'
import { createSolver } from '../../../src/issuance/challenges/solvers.js'
import { CaStore } from '../../../src/issuance/store/ca-store.js'
import { certId, host as requireHost } from '../../support/cert-id.js'
import { LockingStore } from '../../support/locking-store.js'
import { MemoryStore } from '../../support/memory-store.js'
import { VirtualClock } from '../../support/virtual-clock.js'

const host = requireHost('a.example')
const { name } = certId('a.example')
const challenge = { name, token: 'token', keyAuthorization: 'token.thumbprint' }
const keys = {
  'http-01': 'ca.example~token+http-01',
  'tls-alpn-01': 'ca.example~a.example+token',
} as const
const types = Object.keys(keys) as (keyof typeof keys)[]

/** A solver, and a run whose lock the test can end. */
function setup<S extends MemoryStore = MemoryStore>(
  type: ChallengeType,
  { keyType = 'ecdsa-p256', store = new MemoryStore() as S }: { keyType?: KeyType; store?: S } = {},
) {
  const clock = new VirtualClock()
  const caStore = new CaStore(store, 'ca.example~', clock)
  const answers = new ChallengeAnswers({
    store: caStore,
    clock,
    checkHost: async () => {},
    onAnswer: () => {},
  })
  const cancelled = new AbortController()
  const run = {
    signal: cancelled.signal,
    isLockHeld: true,
    isExclusive: true,
    extendDeadline() {},
    proceed() {},
    commit() {},
  }
  const solver = createSolver(type, certId('a.example', { ca: 'ca.example~', keyType }), {
    answers,
    store: caStore,
    clock,
  })
  const pending = () => (type === 'http-01' ? answers.pendingHttp01('token') : answers.pendingTlsAlpn01(host))
  return { store, clock, cancelled, run, solver, pending, present: () => solver.present(challenge, run) }
}

test.each(types)('present publishes the %s answer, and the returned function withdraws it', async (type) => {
  const { store, solver, pending, present } = setup(type)
  expect(solver.type).toBe(type)
  const withdraw = await present()
  expect(store.take()).toEqual([`put ${keys[type]}`])
  expect(pending()).toBeDefined()
  await withdraw()
  expect(store.take()).toEqual([`delete ${keys[type]}`])
  expect(store.values.size).toBe(0)
  expect(pending()).toBeUndefined()
})

test('the http-01 answer is the key authorization', async () => {
  const { store, present } = setup('http-01')
  await present()
  expect(Buffer.from(store.values.get(keys['http-01']) ?? '').toString()).toBe('token.thumbprint')
})

test('the tls-alpn-01 answer is a key and a certificate for the name, with a hash of the key authorization', async () => {
  const { store, clock, present } = setup('tls-alpn-01')
  await present()
  const bundle = decodeBundle(store.values.get(keys['tls-alpn-01']) as Uint8Array)
  if ('fault' in bundle) expect.unreachable()
  const certificate = new X509Certificate(bundle.chain)
  expect(certificate.subjectAltName).toBe('DNS:a.example')
  expect(Date.parse(certificate.validFrom)).toBeLessThanOrEqual(clock.now())
  expect(Date.parse(certificate.validTo)).toBeGreaterThan(clock.now())
  const hash = createHash('sha256').update('token.thumbprint').digest('hex')
  expect(certificate.raw.toString('hex')).toContain(hash)
})

test.each(types)('a publish that rejects withdraws the %s answer and rejects', async (type) => {
  const { store, pending, present } = setup(type)
  const down = new Error('down')
  store.before = (operation) => {
    if (operation === 'put') throw down
  }
  await expect(present()).rejects.toBe(down)
  expect(store.take()).toEqual([`put ${keys[type]}`, `delete ${keys[type]}`])
  expect(pending()).toBeUndefined()
})

test.each(types)(
  'publishing the %s answer ends with the run’s signal; withdrawing does not',
  async (type) => {
    const { store, run, present } = setup(type)
    let seen: unknown
    store.put = async (_key, _data, options?: CacheOperationOptions) => {
      seen = options?.signal
    }
    const withdraw = await present()
    expect(seen).toBe(run.signal)
    store.delete = async (...args: unknown[]) => {
      seen = args
    }
    await withdraw()
    expect(seen).toEqual([keys[type]])
  },
)

test('after the lock is lost, the http-01 answer is deleted, and the tls-alpn-01 answer stays in the store', async () => {
  for (const type of types) {
    const { store, run, pending, present } = setup(type)
    const withdraw = await present()
    run.isLockHeld = false
    await withdraw()
    expect([...store.values.keys()]).toEqual(type === 'http-01' ? [] : [keys['tls-alpn-01']])
    expect(pending()).toBeUndefined()
  }
})

test('withdraw does not reject if the store fails', async () => {
  const { store, pending, present } = setup('http-01')
  const withdraw = await present()
  store.before = () => Promise.reject(new Error('down'))
  await withdraw()
  expect(pending()).toBeUndefined()
})

const rsa = () => setup('tls-alpn-01', { keyType: 'rsa-2048', store: new LockingStore() })
const lockName = 'ca.example~a.example'

test('an RSA order publishes a tls-alpn-01 answer once it has the lock of the ECDSA certificate, and releases it', async () => {
  const { store, clock, present } = rsa()
  const other = await store.tryLock(lockName)
  const presented = present()
  await expect.poll(() => clock.pending).toBe(1)
  clock.advance(1_000)
  await expect.poll(() => clock.pending).toBe(1)
  expect(store.values.size).toBe(0)
  await other?.release()
  clock.advance(1_000)
  const withdraw = await presented
  expect(store.values.size).toBe(1)
  expect(store.held(lockName)).toBe(true)
  await withdraw()
  expect(store.values.size).toBe(0)
  expect(store.held(lockName)).toBe(false)
})

test('an RSA order that is cancelled while it waits for the lock publishes nothing', async () => {
  const { store, clock, cancelled, present } = rsa()
  await store.tryLock(lockName)
  const presented = present()
  await expect.poll(() => clock.pending).toBe(1)
  cancelled.abort(new Error('cancelled'))
  await expect(presented).rejects.toThrow('cancelled')
  expect(clock.pending).toBe(0)
  expect(store.take()).toEqual([`lock ${lockName}`, `lock ${lockName}`])
})

test('an RSA order releases the lock if the store fails, and leaves an answer there if it loses the lock', async () => {
  const { store, present } = rsa()
  store.before = (operation) => {
    if (operation === 'put') throw new Error('down')
  }
  await expect(present()).rejects.toThrow('down')
  expect(store.held(lockName)).toBe(false)
  store.before = () => {}
  const withdraw = await present()
  store.lose(lockName)
  await withdraw()
  expect([...store.values.keys()]).toEqual([keys['tls-alpn-01']])
})

test('other orders, and stores without locks or the permission for them, need no second lock', async () => {
  for (const [type, keyType] of [
    ['tls-alpn-01', 'ecdsa-p256'],
    ['http-01', 'rsa-2048'],
  ] as const) {
    const { store, present } = setup(type, { keyType, store: new LockingStore() })
    await (await present())()
    expect(store.take()).toEqual([`put ${keys[type]}`, `delete ${keys[type]}`])
  }
  await setup('tls-alpn-01', { keyType: 'rsa-2048' }).present()
  const { store, present } = rsa()
  store.before = (operation) => {
    if (operation === 'lock') throw new StoreError('ERR_STORE_PERMISSION', 'no')
  }
  await (await present())()
  expect(store.take()).toEqual([
    `lock ${lockName}`,
    `put ${keys['tls-alpn-01']}`,
    `delete ${keys['tls-alpn-01']}`,
  ])
})
