import { getEventListeners } from 'node:events'
import * as x509 from '@peculiar/x509'
import { expect, test } from 'vitest'
import type { CertificateRequest, Run } from '../../src/acme/issuer.js'
import { exportKey } from '../../src/certificates/private-key.js'
import { ClosedError, IssuanceError, LockLostError, StoreError } from '../../src/index.js'
import { Attempts } from '../../src/issuance/attempts.js'
import { ChallengeAnswers } from '../../src/issuance/challenges/challenge-answers.js'
import { Orders } from '../../src/issuance/orders.js'
import { CaStore } from '../../src/issuance/store/ca-store.js'
import { parseFailureRecord } from '../../src/issuance/store/records.js'
import { sharedController } from '../../src/util/deadline.js'
import { NoResponseError, ProcessFailureError } from '../../src/util/errors.js'
import { certId } from '../support/cert-id.js'
import { makeKey } from '../support/certificates.js'
import { LockingStore } from '../support/locking-store.js'
import { MemoryStore } from '../support/memory-store.js'
import { VirtualClock } from '../support/virtual-clock.js'

const id = certId('a.example')
const recordKey = 'a.example+failure'
const challenge = { name: id.name, token: 'token', keyAuthorization: 'token.thumbprint' }
const minute = 60_000

/** Signs a chain for the order's key, as a CA would. */
async function sign({ key }: Pick<CertificateRequest, 'key'>): Promise<string> {
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }
  const pkcs8 = key.export({ format: 'der', type: 'pkcs8' })
  const privateKey = await crypto.subtle.importKey('pkcs8', pkcs8, algorithm, true, ['sign'])
  const { d: _, ...jwk } = await crypto.subtle.exportKey('jwk', privateKey)
  const publicKey = await crypto.subtle.importKey('jwk', { ...jwk, key_ops: ['verify'] }, algorithm, true, [
    'verify',
  ])
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    notBefore: new Date(Date.now() - minute),
    notAfter: new Date(Date.now() + 90 * 1_440 * minute),
    keys: { privateKey, publicKey },
    signingAlgorithm: algorithm,
    extensions: [new x509.SubjectAlternativeNameExtension([{ type: 'dns', value: id.name }])],
  })
  return `${certificate.toString('pem')}\n`
}

/** A call of `Issuer.issue`. */
type Order = CertificateRequest & { readonly run: Run }

/** Orders at a CA that signs every order unless the test replaces `ca.answer`. */
function setup(store = new MemoryStore()) {
  const clock = new VirtualClock()
  const closing = sharedController()
  const placed: Order[] = []
  const failed: Error[] = []
  const ca = { answer: sign as (order: Order) => Promise<string> }
  const caStore = new CaStore(store, id.ca, clock)
  const onFailed = ({ error }: { error: Error }) => failed.push(error)
  const attempts = new Attempts({ store: caStore, clock, max: 1_000, onFailed })
  const issuer = {
    prepare: async () => {},
    clockOffsetMs: undefined,
    issue(request: CertificateRequest, run: Run) {
      const order = { ...request, run }
      placed.push(order)
      return ca.answer(order)
    },
  }
  const orders = new Orders(
    {
      store: caStore,
      answers: new ChallengeAnswers({ store: caStore, clock, checkHost: async () => {}, onAnswer: () => {} }),
      attempts,
      clock,
      closing: closing.signal,
      challengeTypes: () => ['http-01', 'tls-alpn-01'],
    },
    issuer,
  )
  const storeFailure = (retryAt: number) => {
    const record = { failures: 1, retryAt, at: clock.now(), message: 'no' }
    store.values.set(recordKey, Buffer.from(JSON.stringify(record)))
  }
  const place = async (lock?: { signal: AbortSignal }) =>
    (await orders.place({ id, previousFailure: undefined, served: undefined }, lock)).data
  const check = () => attempts.check(id, new AbortController().signal)
  return { store, clock, closing, placed, failed, ca, issuer, orders, storeFailure, place, check }
}

test('a failure that another machine recorded before the lock was acquired postpones the order', async () => {
  const { clock, placed, storeFailure, place } = setup()
  storeFailure(clock.now() + minute)
  await expect(place({ signal: new AbortController().signal })).rejects.toMatchObject({
    code: 'ERR_ISSUANCE_POSTPONED',
  })
  expect(placed).toEqual([])
})

test('under a lock, the failure record in the store at that time determines the challenge', async () => {
  const { clock, placed, storeFailure, place } = setup()
  storeFailure(clock.now())
  await place({ signal: new AbortController().signal })
  expect(placed[0]?.solvers.map(({ type }) => type)).toEqual(['tls-alpn-01', 'http-01'])
})

test('an order that succeeded with a certificate that was due early does not change the challenge type', async () => {
  const { clock, placed, orders } = setup()
  const previousFailure = { failures: 1, retryAt: clock.now(), early: true, message: 'early' }
  await orders.place({ id, previousFailure, served: undefined })
  expect(placed[0]?.solvers.map(({ type }) => type)).toEqual(['http-01', 'tls-alpn-01'])
})

test('without a lock the failure record is not read again; a write is proven if the last proof is 5 s old', async () => {
  const { store, clock, orders, place } = setup()
  await orders.prepare({ id, previousFailure: undefined, served: undefined })
  expect(store.take()).toEqual(['put acme_probe'])
  clock.advance(4_999)
  await place()
  expect(store.take()).toEqual([])
  clock.advance(1)
  await place()
  expect(store.take()).toEqual(['put acme_probe'])
})

test('an order leaves neither timers nor listeners behind, whether it succeeds or fails', async () => {
  const { clock, closing, ca, place } = setup()
  const lock = sharedController()
  await place(lock)
  ca.answer = () => Promise.reject(new IssuanceError('ERR_ISSUANCE_FAILED', 'no'))
  await expect(place(lock)).rejects.toThrow('no')
  expect(clock.pending).toBe(0)
  for (const { signal } of [closing, lock]) expect(getEventListeners(signal, 'abort')).toEqual([])
})

test('an order is exclusive while a lock is held, and never without one', async () => {
  const { placed, place } = setup()
  const lock = sharedController()
  await place(lock)
  await place()
  expect(placed.map(({ run }) => run.isExclusive)).toEqual([true, false])
  lock.abort(new LockLostError('lost'))
  expect(placed[0]?.run.isExclusive).toBe(false)
})

test('after commit neither a close nor a lost lock ends the order', async () => {
  const { closing, ca, place } = setup()
  const lock = sharedController()
  ca.answer = async (order) => {
    order.run.commit()
    closing.abort(new Error('closed'))
    lock.abort(new LockLostError('lost'))
    order.run.signal.throwIfAborted()
    return sign(order)
  }
  expect(await place(lock)).toBeInstanceOf(Uint8Array)
})

test('before commit a lost lock ends the order, and nothing is recorded', async () => {
  const { store, ca, failed, place } = setup()
  const lock = sharedController()
  ca.answer = async (order) => {
    lock.abort(new LockLostError('lost'))
    order.run.signal.throwIfAborted()
    return sign(order)
  }
  await expect(place(lock)).rejects.toThrow('lost')
  expect(failed).toEqual([])
  expect([...store.values.keys()]).toEqual(['acme_probe'])
})

test('an order ends after 5 minutes, and counts as a failure', async () => {
  const { clock, placed, ca, failed, place, store } = setup()
  ca.answer = async ({ solvers, run }) => {
    await solvers[0]?.present(challenge, run)
    return new Promise((_, reject) => run.signal.addEventListener('abort', () => reject(run.signal.reason)))
  }
  const ended = place().catch((reason: unknown) => reason)
  await expect.poll(() => placed).toHaveLength(1)
  clock.advance(5 * minute - 1)
  expect(placed[0]?.run.signal.aborted).toBe(false)
  clock.advance(1)
  expect(await ended).toMatchObject({ code: 'ERR_ISSUANCE_FAILED' })
  expect(failed).toHaveLength(1)
  expect(store.values.has(recordKey)).toBe(true)
})

test('an order that the CA has not begun after 5 minutes says nothing about the CA', async () => {
  const { clock, placed, ca, place, store } = setup()
  ca.answer = () => new Promise(() => {})
  const ended = place().catch((reason: unknown) => reason)
  await expect.poll(() => placed).toHaveLength(1)
  clock.advance(5 * minute)
  expect(await ended).toMatchObject({
    code: 'ERR_ISSUANCE_FAILED',
    message: expect.stringContaining('5 minutes'),
  })
  expect(store.values.has(recordKey)).toBe(false)
})

test('an order that waits 5 minutes for the lock of its challenge answer says nothing about the CA', async () => {
  const locked = new LockingStore()
  const { clock, placed, ca, orders, store } = setup(locked)
  const rsa = certId('a.example', { keyType: 'rsa-2048' })
  await locked.tryLock('a.example')
  ca.answer = async ({ solvers, run }) => {
    const tlsAlpn01 = solvers.find(({ type }) => type === 'tls-alpn-01')
    await tlsAlpn01?.present(challenge, run)
    throw expect.unreachable()
  }
  const ended = orders
    .place({ id: rsa, previousFailure: undefined, served: undefined })
    .catch((reason: unknown) => reason)
  await expect.poll(() => placed).toHaveLength(1)
  await expect.poll(() => locked.take()).toContain('lock a.example')
  clock.advance(5 * minute)
  expect(await ended).toMatchObject({ cause: expect.any(ProcessFailureError) })
  expect([...store.values.keys()]).toEqual(['acme_probe'])
})

test('the CA can ask for more time, up to 15 minutes', async () => {
  const { clock, placed, ca, place } = setup()
  ca.answer = () => new Promise(() => {})
  let hasEnded = false
  const ended = place().catch(() => {
    hasEnded = true
  })
  await expect.poll(() => placed).toHaveLength(1)
  const run = placed[0]?.run as Run
  run.extendDeadline(clock.now() + minute)
  clock.advance(4 * minute)
  run.extendDeadline(clock.now() + 600 * minute)
  clock.advance(11 * minute - 1)
  await new Promise(setImmediate)
  expect(hasEnded).toBe(false)
  clock.advance(1)
  await ended
  expect(clock.pending).toBe(0)
})

test('an order returns the failure record that it has made obsolete', async () => {
  const { clock, storeFailure, orders } = setup()
  storeFailure(clock.now())
  const request = { id, previousFailure: undefined, served: undefined }
  const placed = await orders.place(request, { signal: new AbortController().signal })
  expect(placed.previousFailure).toMatchObject({ failures: 1 })
})

test('before an order, the CA must respond and the store must take a write', async () => {
  const { store, issuer, orders } = setup()
  const prepare = () => orders.prepare({ id, previousFailure: undefined, served: undefined })
  await prepare()
  expect(store.take()).toEqual(['put acme_probe'])
  store.before = (operation) => {
    if (operation === 'put') throw new StoreError('ERR_STORE_PERMISSION', 'read-only')
  }
  await expect(prepare()).rejects.toMatchObject({ code: 'ERR_STORE_PERMISSION' })
  issuer.prepare = () => Promise.reject(new NoResponseError('no answer'))
  store.take()
  await expect(prepare()).rejects.toMatchObject({ message: 'no answer', retryAt: expect.any(Date) })
  expect(store.take()).toEqual([])
})

test('a close during the preparation is not a failure', async () => {
  const { closing, failed, issuer, orders } = setup()
  issuer.prepare = async () => {
    closing.abort(new ClosedError('closed'))
    closing.signal.throwIfAborted()
  }
  const request = { id, previousFailure: undefined, served: undefined }
  await expect(orders.prepare(request)).rejects.toMatchObject({ code: 'ERR_CLOSED' })
  expect(failed).toEqual([])
})

test.each([
  ['a lack of descriptors', Object.assign(new Error('open EMFILE'), { errno: -24, code: 'EMFILE' }), false],
  ['a failed allocation', new RangeError('Array buffer allocation failed'), false],
  ['a module that does not load', new Error('cannot load', { cause: new Error('EMFILE') }), false],
  ['a fault in this package', new TypeError('Cannot read properties of undefined'), false],
  ['a response of the CA', new IssuanceError('ERR_ISSUANCE_FAILED', 'status 502'), true],
])(
  '%s is an IssuanceError; only what the CA is to blame for is recorded for the fleet',
  async (_, cause, isOfCa) => {
    const { store, ca, failed, place } = setup()
    ca.answer = () => Promise.reject(cause)
    const error = (await place().catch((reason: unknown) => reason)) as IssuanceError
    expect(error).toMatchObject({
      code: 'ERR_ISSUANCE_FAILED',
      message: expect.stringContaining(cause.message),
    })
    expect(failed).toEqual([error])
    expect(store.values.has(recordKey)).toBe(isOfCa)
  },
)

test('a challenge answer that cannot be deleted does not fail the order', async () => {
  const { store, ca, place } = setup()
  store.before = (operation) => {
    if (operation === 'delete') throw new Error('down')
  }
  ca.answer = async (order) => {
    const withdraw = await order.solvers[0]?.present(challenge, order.run)
    await withdraw?.()
    return sign(order)
  }
  expect(await place()).toBeInstanceOf(Uint8Array)
})

test('a store failure during an order postpones the next order by 10 s, on this machine only', async () => {
  const { store, clock, ca, check, failed, place } = setup()
  ca.answer = async ({ solvers, run }) => {
    await solvers[0]?.present(challenge, run)
    throw new StoreError('ERR_STORE_FAILED', 'down')
  }
  await expect(place()).rejects.toThrow('down')
  expect(failed).toEqual([])
  expect(store.values.has(recordKey)).toBe(false)
  clock.advance(9_999)
  await expect(check()).rejects.toMatchObject({ code: 'ERR_ISSUANCE_POSTPONED' })
  clock.advance(1)
  await check()
})

test('after a store failure during an order, the next order tries the same challenge type', async () => {
  const { clock, placed, ca, check, orders, place } = setup()
  ca.answer = async ({ solvers, run }) => {
    await solvers[0]?.present(challenge, run)
    throw new StoreError('ERR_STORE_FAILED', 'down')
  }
  await expect(place()).rejects.toThrow('down')
  clock.advance(10_000)
  ca.answer = sign
  await orders.place({ id, previousFailure: await check(), served: undefined })
  expect(placed[1]?.solvers.map(({ type }) => type)).toEqual(['http-01', 'tls-alpn-01'])
})

test('a store failure before the challenge answer is published postpones nothing', async () => {
  const { ca, check, place } = setup()
  ca.answer = () => Promise.reject(new StoreError('ERR_STORE_FAILED', 'the account key cannot be read'))
  await expect(place()).rejects.toThrow('the account key')
  expect(await check()).toBeUndefined()
})

test.each([
  ['a lost lock', new LockLostError('lost')],
  ['a closed CA', new ClosedError('closed')],
])('%s is not recorded as a failure, even if the order’s own signals have not aborted', async (_, error) => {
  const { store, ca, failed, place } = setup()
  ca.answer = () => Promise.reject(error)
  await expect(place()).rejects.toBe(error)
  expect(failed).toEqual([])
  expect([...store.values.keys()]).toEqual(['acme_probe'])
})

test('a certificate of the CA for another key is rejected, and recorded as a failure', async () => {
  const { store, ca, failed, place } = setup()
  ca.answer = async (order) => sign({ ...order, key: makeKey() })
  await expect(place()).rejects.toMatchObject({
    code: 'ERR_ISSUANCE_FAILED',
    message: expect.stringContaining('key mismatch'),
  })
  expect(failed).toHaveLength(1)
  expect(store.values.has(recordKey)).toBe(true)
})

test('a failed renewal is recorded as one, and postpones the next by an eighth of the remaining time', async () => {
  const { store, clock, placed, ca, orders } = setup()
  ca.answer = () => Promise.reject(new IssuanceError('ERR_ISSUANCE_FAILED', 'no'))
  const previousFailure = { failures: 9, retryAt: 0, message: 'no' }
  const [notBefore, notAfter] = [clock.now() - 88 * 1_440 * minute, clock.now() + 4 * 1_440 * minute]
  const served = { notBefore, notAfter, renewAt: clock.now(), data: Buffer.from('served') }
  const error: unknown = await orders.place({ id, previousFailure, served }).catch((reason) => reason)
  expect(placed[0]?.predecessor).toBe(served.data)
  const waitMs = Number((error as IssuanceError).retryAt) - clock.now()
  expect(waitMs).toBeGreaterThanOrEqual(720 * minute)
  expect(waitMs).toBeLessThanOrEqual(720 * minute * 1.1)
  const record = parseFailureRecord(store.values.get(recordKey) as Uint8Array)
  expect(record).toMatchObject({ failures: 10, renewal: true })
})

test('proceed and commit throw once the lock is lost or the manager is closing', async () => {
  for (const cancel of ['lock', 'closing'] as const) {
    for (const step of ['proceed', 'commit'] as const) {
      const { closing, ca, place } = setup()
      const lock = sharedController()
      const reason = new LockLostError('cancelled')
      ca.answer = async (order) => {
        const controller = cancel === 'lock' ? lock : closing
        controller.abort(reason)
        expect(() => order.run[step]()).toThrow(reason)
        throw reason
      }
      await expect(place(lock)).rejects.toBe(reason)
    }
  }
})

test('a lock that is lost unnoticed, while the process is suspended, ends the order before commit', async () => {
  const { ca, place } = setup()
  let isLost = false
  const lost = AbortSignal.abort(new LockLostError('lost'))
  const held = new AbortController().signal
  const lock = {
    get signal() {
      return isLost ? lost : held
    },
  }
  ca.answer = async (order) => {
    isLost = true
    order.run.commit()
    return sign(order)
  }
  await expect(place(lock)).rejects.toMatchObject({ code: 'ERR_LOCK_LOST' })
})

test('close() waits at most 8 s for an order, then ends it', async () => {
  const { clock, placed, ca, orders, place } = setup()
  ca.answer = () => new Promise(() => {})
  const ended = place().catch((reason: unknown) => reason)
  await expect.poll(() => placed).toHaveLength(1)
  let isClosed = false
  const closed = orders.close().then(() => {
    isClosed = true
  })
  clock.advance(7_999)
  for (let turn = 0; turn < 3; turn++) await new Promise(setImmediate)
  expect(isClosed).toBe(false)
  clock.advance(1)
  await closed
  expect(await ended).toMatchObject({ code: 'ERR_CLOSED' })
})

test('each order uses a new key', async () => {
  const { placed, place } = setup()
  await place()
  await place()
  const [first, second] = placed.map(({ key }) => exportKey(key))
  expect(first).not.toBe(second)
})
