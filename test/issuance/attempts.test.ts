import { expect, onTestFinished, test, vi } from 'vitest'
import type { Validity } from '../../src/certificates/certificate-bundle.js'
import type { CertId } from '../../src/certificates/certificate-id.js'
import type { LiveCertificate } from '../../src/certificates/live-certificate.js'
import { RenewalSchedule } from '../../src/certificates/renewal-schedule.js'
import { IssuanceError, LockLostError, StoreError } from '../../src/index.js'
import { Attempts } from '../../src/issuance/attempts.js'
import { CaStore } from '../../src/issuance/store/ca-store.js'
import { type FailureRecord, parseFailureRecord } from '../../src/issuance/store/records.js'
import {
  AccountRefusedError,
  NoCommonChallengeError,
  NoResponseError,
  WrongClockError,
} from '../../src/util/errors.js'
import { verdictOf } from '../../src/util/verdict.js'
import { certId } from '../support/cert-id.js'
import { MemoryStore } from '../support/memory-store.js'
import { VirtualClock } from '../support/virtual-clock.js'

const minute = 60_000
const hour = 60 * minute
const day = 24 * hour
const now = Date.UTC(2027, 0, 1)
const ca = 'ca.example~'
const id = certId('a.example', { ca })
const recordKey = 'ca.example~a.example+failure'

/** A certificate of 90 days that was just issued. */
function issued({ dueIn = 60 * day, of = id } = {}) {
  const schedule = new RenewalSchedule(90 * day, { at: now + dueIn, source: 'lifetime' }, now, true)
  const facts = { id: of, serialNumber: '0A', notBefore: now, notAfter: now + 90 * day, source: 'acme' }
  return { ...facts, schedule } as unknown as LiveCertificate
}
const previous: FailureRecord = { failures: 1, retryAt: now, message: 'no' }

/** The attempts of one machine, and the store behind them. */
function setup(start = now) {
  const clock = new VirtualClock(start)
  const store = new MemoryStore()
  const failed: Error[] = []
  const onFailed = ({ error }: { error: Error }) => failed.push(error)
  const attempts = new Attempts({ store: new CaStore(store, ca, clock), clock, max: 1_000, onFailed })
  const check = (host = 'a.example') => attempts.check(certId(host, { ca }), new AbortController().signal)
  /** Records that the CA failed an order; resolves with the time of the next attempt. */
  const failOrder = async (error: IssuanceError, previous?: FailureRecord, served?: Validity) => {
    const recorded = await attempts.orderFailed({ id, error, previous, served, hasOrdered: true })
    return (recorded as IssuanceError).retryAt as Date
  }
  /** Records a failure of this machine alone. */
  const failLocally = (of: CertId = id, error: Error = new StoreError('ERR_STORE_FAILED', 'down')) =>
    attempts.orderFailed({ id: of, error, previous: undefined, served: undefined, hasOrdered: true })
  return { clock, store, attempts, failed, check, failOrder, failLocally }
}
const failure = (retryAt?: number) =>
  new IssuanceError('ERR_ISSUANCE_FAILED', 'no', retryAt === undefined ? {} : { retryAt: new Date(retryAt) })
const postponed = { code: 'ERR_ISSUANCE_POSTPONED' }

test.each([
  ['a Retry-After in the year 9999', '9999-12-31T23:59:59Z', 1],
  ['a Retry-After in the year 275760', '+275760-09-13T00:00:00Z', 1],
  ['Number.MAX_SAFE_INTEGER failures', '2026-10-01T01:00:00Z', Number.MAX_SAFE_INTEGER],
])('after %s the next attempt is still postponed', async (_, retryAfter, failures) => {
  const { failOrder, check } = setup(Date.parse('2026-10-01T00:00:00Z'))
  await failOrder(failure(Date.parse(retryAfter)), { failures, retryAt: 0, message: '' })
  await expect(check()).rejects.toMatchObject(postponed)
})

test('failed renewals do not count once the certificate has expired', async () => {
  const { clock, failOrder, check } = setup()
  const served = { notBefore: now - 90 * day, notAfter: now + hour }
  for (let times = 0; times < 10; times++)
    clock.advance((await failOrder(failure(), await check(), served)).getTime() - clock.now())
  const last = await check()
  expect(last).toMatchObject({ failures: 10 })
  const retryAt = await failOrder(failure(), last)
  expect(retryAt.getTime() - clock.now()).toBeLessThanOrEqual(1.1 * minute)
  clock.advance(2 * minute)
  expect(await check()).toMatchObject({ failures: 1 })
})

test('a record that could not be stored applies in addition to an older stored one', async () => {
  const { clock, store, failOrder, check } = setup()
  await failOrder(failure())
  clock.advance(2 * minute)
  const before = await check()
  store.before = (operation) => {
    if (operation === 'put') throw new Error('read-only')
  }
  await failOrder(failure(clock.now() + day), before)
  clock.advance(day - 1)
  await expect(check()).rejects.toMatchObject(postponed)
  clock.advance(1)
  expect(await check()).toMatchObject({ failures: 2 })
})

test('a later record of another machine applies in addition to a local one', async () => {
  const { clock, store, failLocally, check } = setup()
  await failLocally()
  const record = { failures: 4, retryAt: now + day, at: now, message: 'no' }
  store.values.set(recordKey, Buffer.from(JSON.stringify(record)))
  clock.advance(hour)
  await expect(check()).rejects.toMatchObject(postponed)
})

test('a stored record is not held locally: once another machine removes it, nothing is postponed', async () => {
  const { store, failOrder, check } = setup()
  await failOrder(failure())
  store.values.clear()
  expect(await check()).toBeUndefined()
})

test('a success removes the local record even if the stored record cannot be deleted', async () => {
  const { store, attempts, failLocally, check } = setup()
  await failLocally()
  store.before = (operation) => {
    if (operation === 'delete') throw new Error('down')
  }
  await attempts.orderSucceeded(issued(), { previousFailure: previous }, undefined)
  expect(store.take()).toEqual([`delete ${recordKey}`])
  expect(await check()).toBeUndefined()
})

test('a success without a previous record makes no request to the store', async () => {
  const { store, attempts } = setup()
  await attempts.orderSucceeded(issued(), { previousFailure: undefined }, undefined)
  expect(store.take()).toEqual([])
})

test('a success whose lock is lost does not remove the record, which may be newer', async () => {
  const { store, attempts } = setup()
  await attempts.orderSucceeded(
    issued(),
    { previousFailure: previous },
    AbortSignal.abort(new LockLostError('lost')),
  )
  expect(store.take()).toEqual([])
})

test('a certificate that is due soon after it is issued is not renewed by any machine for a quarter of its lifetime', async () => {
  const { clock, store, attempts, check } = setup()
  await attempts.orderSucceeded(issued({ dueIn: 22 * day }), { previousFailure: previous }, undefined)
  const other = new Attempts({ store: new CaStore(store, ca, clock), clock, max: 1, onFailed: () => {} })
  const renew = () => other.check(id, new AbortController().signal, true)
  clock.advance(22.5 * day - 1)
  await expect(renew()).rejects.toMatchObject({
    ...postponed,
    message: expect.stringContaining('Check the clocks of all machines'),
  })
  // A host whose certificate is gone is not postponed, nor does the record count as a failure.
  expect(await check()).toMatchObject({ early: true })
  clock.advance(1)
  await renew()
})

test('a certificate that is due soon by the clock of this machine alone postpones no other machine', async () => {
  const { store, attempts } = setup(now + 60 * day)
  const order = { previousFailure: undefined, clockOffsetMs: -60 * day }
  await attempts.orderSucceeded(issued({ dueIn: 61 * day }), order, undefined)
  expect(store.take()).toEqual([])
})

test('a successful request removes the local record of that certificate alone', async () => {
  const { attempts, failLocally, check } = setup()
  await failLocally()
  await failLocally(certId('b.example', { ca }))
  attempts.requestSucceeded(id)
  expect(await check()).toBeUndefined()
  await expect(check('b.example')).rejects.toMatchObject(postponed)
})

test('a process holds the local records of the 1,000 most recent hosts', async () => {
  const { failLocally, check } = setup()
  for (let index = 0; index <= 1_000; index++) await failLocally(certId(`h${index}.example`, { ca }))
  expect(await check('h0.example')).toBeUndefined()
  await expect(check('h1.example')).rejects.toMatchObject(postponed)
  await expect(check('h1000.example')).rejects.toMatchObject(postponed)
})

test('attempts of many machines and hosts are spread over a tenth of the wait', async () => {
  const { failOrder } = setup()
  const random = vi.spyOn(Math, 'random')
  onTestFinished(() => random.mockRestore())
  for (const [share, wait] of [
    [0, minute],
    [0.5, 1.05 * minute],
  ] as const) {
    random.mockReturnValue(share)
    expect(Number(await failOrder(failure()))).toBe(now + wait)
  }
})

test('a record holds 2,000 characters of the message', async () => {
  const { store, failOrder } = setup()
  await failOrder(new IssuanceError('ERR_ISSUANCE_FAILED', 'x'.repeat(100_000)))
  const data = store.values.get(recordKey) as Uint8Array
  expect(parseFailureRecord(data)?.message).toHaveLength(2_000)
})

test('local failures of a host are counted: 10 s after the first, then twice as long up to 5 minutes', async () => {
  const { clock, failLocally, check } = setup()
  for (const wait of [10_000, 20_000, 40_000, 80_000, 160_000, 5 * minute, 5 * minute]) {
    await failLocally()
    clock.advance(wait - 1)
    await expect(check()).rejects.toMatchObject(postponed)
    clock.advance(1)
    await check()
  }
})

test('a record that is more than 5 minutes ahead of the clock is ignored', async () => {
  const { clock, store, failLocally, check } = setup()
  const storeRecord = (at: number) => {
    const record = { failures: 1, retryAt: now + day, at, message: 'no' }
    store.values.set(recordKey, Buffer.from(JSON.stringify(record)))
  }
  storeRecord(now + 5 * minute)
  await expect(check()).rejects.toMatchObject(postponed)
  storeRecord(now + 5 * minute + 1)
  expect(await check()).toBeUndefined()
  await failLocally(certId('b.example', { ca }))
  clock.advance(-5 * minute)
  await expect(check('b.example')).rejects.toMatchObject(postponed)
  clock.advance(-1)
  expect(await check('b.example')).toBeUndefined()
})

test('failures of this machine alone do not count as failures of the CA', async () => {
  const { clock, failOrder, failLocally, check } = setup()
  for (let times = 0; times < 3; times++) {
    await failLocally()
    clock.advance(minute)
  }
  const previous = await check()
  expect(previous).toBeUndefined()
  const retryAt = await failOrder(failure(), previous)
  expect(retryAt.getTime() - clock.now()).toBeLessThanOrEqual(1.1 * minute)
  // Nor do those of the CA count as failures of this machine.
  clock.advance(2 * minute)
  await failLocally()
  const recorded = await check().catch((reason: unknown) => reason)
  expect(recorded).toMatchObject({ retryAt: new Date(clock.now() + 80_000) })
})

test('check passes its signal to the store', async () => {
  const { store, attempts } = setup()
  const { signal } = new AbortController()
  const get = vi.spyOn(store, 'get')
  await attempts.check(id, signal)
  expect(get).toHaveBeenCalledWith(recordKey, { signal })
})

test('a failure of the CA is reported and thrown with the time of the next attempt and the original error', async () => {
  const { attempts, failed } = setup()
  const problem = { type: 'urn:ietf:params:acme:error:rateLimited', status: 429 }
  const error = new IssuanceError('ERR_ISSUANCE_FAILED', 'no', { problem })
  const order = { id, error, previous: undefined, served: undefined, hasOrdered: true }
  const recorded = await attempts.orderFailed(order)
  expect(recorded).toMatchObject({ code: error.code, message: 'no', cause: error, problem })
  expect(recorded).toHaveProperty('retryAt', expect.any(Date))
  expect(failed).toEqual([recorded])
})

test.each([
  ['an invalid profile is reported and postpones nothing', 'ERR_ACME_PROFILE', true, 0],
  ['a store failure is not reported and postpones orders of this machine alone', 'store', false, 10_000],
  ['a lost lock is neither reported nor recorded', 'lock', false, 0],
])('%s', async (_, cause, isReported, ms) => {
  const { clock, store, failed, failLocally, check } = setup()
  const errors: Record<string, Error> = {
    ERR_ACME_PROFILE: new IssuanceError('ERR_ACME_PROFILE', 'no such profile'),
    store: new StoreError('ERR_STORE_FAILED', 'down'),
    lock: new LockLostError('lost'),
  }
  const error = errors[cause] as Error
  expect(await failLocally(id, error)).toBe(error)
  expect(failed).toEqual(isReported ? [error] : [])
  expect(store.values.size).toBe(0)
  if (ms > 0) await expect(check()).rejects.toMatchObject({ ...postponed, retryAt: new Date(now + ms) })
  clock.advance(ms)
  await check()
})

test.each([
  ['a wrong clock', new WrongClockError('set the clock right')],
  ['a CA that does not respond', new NoResponseError('no answer')],
  ['a refused account', new AccountRefusedError('deactivated')],
])(
  '%s postpones all orders of this process alone: 10 s, then twice as long up to 5 minutes',
  async (_, error) => {
    const { clock, store, failed, failLocally, check } = setup()
    for (const ms of [10_000, 20_000, 40_000, 80_000, 160_000, 5 * minute, 5 * minute]) {
      expect(await failLocally(id, error)).toMatchObject({ message: error.message, cause: error })
      // An order that was in progress does not extend the delay.
      clock.advance(1_000)
      await failLocally(certId('b.example', { ca }), error)
      clock.advance(ms - 1_001)
      await expect(check('c.example')).rejects.toMatchObject({
        ...postponed,
        retryAt: new Date(clock.now() + 1),
      })
      expect(store.take()).toEqual([])
      clock.advance(1)
      await check('c.example')
      store.take()
    }
    expect(failed).toHaveLength(14)
  },
)

test('challenges that this process cannot answer postpone its orders of that host alone: 10 s, then twice as long', async () => {
  const { clock, store, failed, failLocally, check } = setup()
  const error = new NoCommonChallengeError('this process can answer tls-alpn-01')
  for (const ms of [10_000, 20_000, 40_000]) {
    const retryAt = new Date(clock.now() + ms)
    expect(await failLocally(id, error)).toMatchObject({ message: error.message, retryAt })
    clock.advance(ms - 1)
    await expect(check()).rejects.toMatchObject({ ...postponed, retryAt })
    await check('b.example')
    clock.advance(1)
    await check()
  }
  expect(failed).toHaveLength(3)
  expect(store.values.size).toBe(0)
})

test('a certificate that the CA issues ends the delay of this process', async () => {
  const { clock, attempts, failLocally, check } = setup()
  await failLocally(id, new NoResponseError('no answer'))
  attempts.certificateChanged({ ...issued(), source: 'store' })
  await expect(check()).rejects.toMatchObject(postponed)
  attempts.certificateChanged(issued())
  await check()
  await failLocally(id, new NoResponseError('no answer'))
  clock.advance(10_000)
  await check()
})

test('an hour without a failure starts the delays of this process again', async () => {
  const { clock, failLocally } = setup()
  const delayAfter = async (ms: number) => {
    clock.advance(ms)
    const { retryAt } = (await failLocally(id, new NoResponseError('no answer'))) as IssuanceError
    return Number(retryAt) - clock.now()
  }
  expect(await delayAfter(0)).toBe(10_000)
  expect(await delayAfter(10_000)).toBe(20_000)
  expect(await delayAfter(20_000 + hour - 1)).toBe(40_000)
  expect(await delayAfter(40_000 + hour)).toBe(10_000)
})

test('a wrong clock that was noticed before an order delays nothing', async () => {
  const { attempts, check } = setup()
  const error = new WrongClockError('set the clock right')
  const order = { id, error, previous: undefined, served: undefined, hasOrdered: false }
  expect(await attempts.orderFailed(order)).toBe(error)
  await check()
})

test('a Retry-After is obeyed for 7 days, and while a certificate is served for half of its remaining time', async () => {
  const { failOrder } = setup()
  const year3000 = Date.UTC(3000, 0)
  expect(Number(await failOrder(failure(year3000)))).toBe(now + 7 * day)
  const served = { notBefore: now - 80 * day, notAfter: now + 10 * day }
  expect(Number(await failOrder(failure(year3000), undefined, served))).toBe(now + 5 * day)
})

test.each([
  ['of an older version', { at: now }, 7.7 * day],
  ['without a time', {}, 0],
])('a record %s that postpones an order for years is obeyed for days', async (_, time, ms) => {
  const { clock, store, check } = setup()
  const record = { failures: 1, retryAt: Date.UTC(2058, 0), ...time, message: 'no' }
  store.values.set(recordKey, Buffer.from(JSON.stringify(record)))
  if (ms > 0) {
    clock.advance(ms - 1)
    await expect(check()).rejects.toMatchObject(postponed)
    clock.advance(1)
  }
  await check()
})

test('every machine sees the problem that the CA sent to one', async () => {
  const { check, failOrder } = setup()
  const problem = { type: 'urn:ietf:params:acme:error:rateLimited', detail: 'too many orders', status: 429 }
  await failOrder(new IssuanceError('ERR_ISSUANCE_FAILED', 'no', { problem }))
  const error = await check().catch((reason: unknown) => reason as Error)
  expect(error).toMatchObject({ ...postponed, problem })
  expect(verdictOf(error as Error).isRateLimited).toBe(true)
})

test('a put that the store refuses is recorded for the fleet, and counted', async () => {
  const { clock, attempts, check } = setup()
  for (const failures of [1, 2, 3]) {
    await attempts.putRefused(issued(), new StoreError('ERR_STORE_FAILED', 'a client holds a lease on it'))
    await expect(check()).rejects.toThrow('cannot be stored: a client holds a lease on it')
    clock.advance(day)
    expect(await check()).toMatchObject({ failures })
  }
})
