import { getEventListeners } from 'node:events'
import * as x509 from '@peculiar/x509'
import { expect, test } from 'vitest'
import type { OrderContext } from '../../src/acme/account.js'
import { exportKey } from '../../src/certificates/private-key.js'
import { storageLayout } from '../../src/certificates/storage-layout.js'
import { ClosedError, IssuanceError, LockLostError, StoreError } from '../../src/index.js'
import { ChallengeAnswers } from '../../src/issuance/challenge-answers.js'
import { FailureRecords, parseFailureRecord } from '../../src/issuance/failure-records.js'
import { Issuer } from '../../src/issuance/issuer.js'
import { sharedController } from '../../src/util/deadline.js'
import { makeKey } from '../support/certificates.js'
import { MemoryStore } from '../support/memory-store.js'
import { VirtualClock } from '../support/virtual-clock.js'

const host = 'a.example'
const layout = storageLayout('https://ca.example/directory', 'ecdsa-p256', '')
const minute = 60_000

/** Signs a chain for the order's key, as a CA would. */
async function sign({ key }: OrderContext): Promise<string> {
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
    extensions: [new x509.SubjectAlternativeNameExtension([{ type: 'dns', value: host }])],
  })
  return `${certificate.toString('pem')}\n`
}

/** An issuer whose CA signs every order unless the test replaces `ca.answer`. */
function setup() {
  const store = new MemoryStore()
  const clock = new VirtualClock()
  const closing = sharedController()
  const orders: OrderContext[] = []
  const failed: Error[] = []
  const ca = { answer: sign, isClosed: false }
  const failures = new FailureRecords(store, layout, clock)
  const issuer = new Issuer(
    {
      answers: new ChallengeAnswers(store, layout, clock, () => {}),
      failures,
      keyType: 'ecdsa-p256',
      clock,
      closing: closing.signal,
      challengeTypes: () => ['http-01', 'tls-alpn-01'],
      onFailed: ({ error }) => failed.push(error),
    },
    {
      order(context) {
        orders.push(context)
        return ca.answer(context)
      },
      renewalInfo: () => expect.unreachable(),
      close: () => {
        ca.isClosed = true
      },
    },
  )
  const storeFailure = (retryAt: number) =>
    store.values.set(
      layout.failure(host),
      Buffer.from(JSON.stringify({ failures: 1, retryAt, at: clock.now(), message: 'no' })),
    )
  const issue = (lock?: { signal: AbortSignal }) =>
    issuer.issue({ host, previousFailure: undefined, served: undefined }, lock)
  return { store, clock, closing, orders, failed, ca, failures, issuer, storeFailure, issue }
}

test('a failure that another machine recorded before the lock was acquired postpones the order', async () => {
  const { clock, orders, storeFailure, issue } = setup()
  storeFailure(clock.now() + minute)
  await expect(issue({ signal: new AbortController().signal })).rejects.toMatchObject({
    code: 'ERR_ISSUANCE_POSTPONED',
  })
  expect(orders).toEqual([])
})

test('under a lock, the failure record in the store at that time determines the challenge', async () => {
  const { clock, orders, storeFailure, issue } = setup()
  storeFailure(clock.now())
  await issue({ signal: new AbortController().signal })
  expect(orders[0]?.challengeTypes).toEqual(['tls-alpn-01', 'http-01'])
})

test('without a lock the failure record is not read again', async () => {
  const { store, issue } = setup()
  await issue()
  expect(store.take()).toEqual([])
})

test('an order leaves neither timers nor listeners behind, whether it succeeds or fails', async () => {
  const { clock, closing, ca, issue } = setup()
  const lock = sharedController()
  await issue(lock)
  ca.answer = () => Promise.reject(new IssuanceError('ERR_ISSUANCE_FAILED', 'no'))
  await expect(issue(lock)).rejects.toThrow('no')
  expect(clock.pending).toBe(0)
  for (const { signal } of [closing, lock]) expect(getEventListeners(signal, 'abort')).toEqual([])
})

test('after commit neither a close nor a lost lock ends the order', async () => {
  const { closing, ca, issue } = setup()
  const lock = sharedController()
  ca.answer = async (context) => {
    context.commit()
    closing.abort(new Error('closed'))
    lock.abort(new LockLostError('lost'))
    context.signal.throwIfAborted()
    return sign(context)
  }
  expect(await issue(lock)).toBeInstanceOf(Uint8Array)
})

test('before commit a lost lock ends the order, and nothing is recorded', async () => {
  const { store, ca, failed, issue } = setup()
  const lock = sharedController()
  ca.answer = async (context) => {
    lock.abort(new LockLostError('lost'))
    context.signal.throwIfAborted()
    return sign(context)
  }
  await expect(issue(lock)).rejects.toThrow('lost')
  expect(failed).toEqual([])
  expect(store.values.size).toBe(0)
})

test('an order ends after 5 minutes, and counts as a failure', async () => {
  const { clock, orders, ca, failed, issue, store } = setup()
  ca.answer = ({ signal }) =>
    new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
  const ended = issue().catch((reason: unknown) => reason)
  await expect.poll(() => orders).toHaveLength(1)
  clock.advance(5 * minute - 1)
  expect(orders[0]?.signal.aborted).toBe(false)
  clock.advance(1)
  expect(await ended).toMatchObject({ code: 'ERR_ISSUANCE_FAILED' })
  expect(failed).toHaveLength(1)
  expect(store.values.has(layout.failure(host))).toBe(true)
})

test('a success removes the failure record; a failed delete does not fail the order', async () => {
  const { store, clock, storeFailure, issue } = setup()
  storeFailure(clock.now())
  store.before = (operation) => {
    if (operation === 'delete') throw new Error('down')
  }
  expect(await issue({ signal: new AbortController().signal })).toBeInstanceOf(Uint8Array)
  expect(store.values.has(layout.failure(host))).toBe(true)
  storeFailure(clock.now())
  store.before = () => {}
  await issue({ signal: new AbortController().signal })
  await expect.poll(() => store.values.has(layout.failure(host))).toBe(false)
})

test('a challenge answer that cannot be deleted does not fail the order', async () => {
  const { store, ca, issue } = setup()
  const answer = { type: 'http-01', host, token: 'token', value: Buffer.from('value') } as const
  store.before = (operation) => {
    if (operation === 'delete') throw new Error('down')
  }
  ca.answer = async (context) => {
    await context.publish(answer)
    await context.withdraw(answer)
    return sign(context)
  }
  expect(await issue()).toBeInstanceOf(Uint8Array)
})

test('a store failure during an order postpones the next order by 10 s, on this machine only', async () => {
  const { store, clock, ca, failures, failed, issue } = setup()
  ca.answer = async ({ publish }) => {
    await publish({ type: 'http-01', host, token: 'token', value: Buffer.from('value') })
    throw new StoreError('ERR_STORE_FAILED', 'down')
  }
  await expect(issue()).rejects.toThrow('down')
  expect(failed).toEqual([])
  expect(store.values.has(layout.failure(host))).toBe(false)
  const check = () => failures.check(host, new AbortController().signal)
  clock.advance(9_999)
  await expect(check()).rejects.toMatchObject({ code: 'ERR_ISSUANCE_POSTPONED' })
  clock.advance(1)
  await check()
})

test('a store failure before the challenge answer is published postpones nothing', async () => {
  const { ca, failures, issue } = setup()
  ca.answer = () => Promise.reject(new StoreError('ERR_STORE_FAILED', 'the account key cannot be read'))
  await expect(issue()).rejects.toThrow('the account key')
  expect(await failures.check(host, new AbortController().signal)).toBeUndefined()
})

test.each([
  ['a lost lock', new LockLostError('lost')],
  ['a closed CA', new ClosedError('closed')],
])('%s is not recorded as a failure, even if the order’s own signals have not aborted', async (_, error) => {
  const { store, ca, failed, issue } = setup()
  ca.answer = () => Promise.reject(error)
  await expect(issue()).rejects.toBe(error)
  expect(failed).toEqual([])
  expect(store.values.size).toBe(0)
})

test('a certificate of the CA for another key is rejected, and recorded as a failure', async () => {
  const { store, ca, failed, issue } = setup()
  ca.answer = async (context) => sign({ ...context, key: makeKey() })
  await expect(issue()).rejects.toMatchObject({
    code: 'ERR_ISSUANCE_FAILED',
    message: expect.stringContaining('key mismatch'),
  })
  expect(failed).toHaveLength(1)
  expect(store.values.has(layout.failure(host))).toBe(true)
})

test('a failed renewal is recorded as one, and postpones the next by an eighth of the remaining time', async () => {
  const { store, clock, orders, ca, issuer } = setup()
  ca.answer = () => Promise.reject(new IssuanceError('ERR_ISSUANCE_FAILED', 'no'))
  const previousFailure = { failures: 9, retryAt: 0, message: 'no' }
  const [notBefore, notAfter] = [clock.now() - 88 * 1_440 * minute, clock.now() + 4 * 1_440 * minute]
  const served = { notBefore, notAfter, data: Buffer.from('served') }
  const error: unknown = await issuer.issue({ host, previousFailure, served }).catch((reason) => reason)
  expect(orders[0]?.predecessor).toBe(served.data)
  const waitMs = Number((error as IssuanceError).retryAt) - clock.now()
  expect(waitMs).toBeGreaterThanOrEqual(720 * minute)
  expect(waitMs).toBeLessThanOrEqual(720 * minute * 1.1)
  const record = parseFailureRecord(store.values.get(layout.failure(host)) as Uint8Array)
  expect(record).toMatchObject({ failures: 10, renewal: true })
})

test('proceed and commit throw once the lock is lost or the issuer is closing', async () => {
  for (const cancel of ['lock', 'closing'] as const) {
    for (const step of ['proceed', 'commit'] as const) {
      const { closing, ca, issue } = setup()
      const lock = sharedController()
      const reason = new LockLostError('cancelled')
      ca.answer = async (context) => {
        const controller = cancel === 'lock' ? lock : closing
        controller.abort(reason)
        expect(() => context[step]()).toThrow(reason)
        throw reason
      }
      await expect(issue(lock)).rejects.toBe(reason)
    }
  }
})

test('a lock that is lost unnoticed, while the process is suspended, ends the order before commit', async () => {
  const { ca, issue } = setup()
  let isLost = false
  const lost = AbortSignal.abort(new LockLostError('lost'))
  const held = new AbortController().signal
  const lock = {
    get signal() {
      return isLost ? lost : held
    },
  }
  ca.answer = async (context) => {
    isLost = true
    context.commit()
    return sign(context)
  }
  await expect(issue(lock)).rejects.toMatchObject({ code: 'ERR_LOCK_LOST' })
})

test('close() waits at most 10 s for an order to end', async () => {
  const { clock, orders, ca, issuer, issue } = setup()
  ca.answer = () => new Promise(() => {})
  issue().catch(() => undefined)
  await expect.poll(() => orders).toHaveLength(1)
  const closed = issuer.close()
  clock.advance(9_999)
  for (let turn = 0; turn < 3; turn++) await new Promise(setImmediate)
  expect(ca.isClosed).toBe(false)
  clock.advance(1)
  await closed
  expect(ca.isClosed).toBe(true)
})

test('each order uses a new key', async () => {
  const { orders, issue } = setup()
  await issue()
  await issue()
  const [first, second] = orders.map(({ key }) => exportKey(key))
  expect(first).not.toBe(second)
})
