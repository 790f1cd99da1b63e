import { expect, onTestFinished, test, vi } from 'vitest'
import { storageLayout } from '../../src/certificates/storage-layout.js'
import { IssuanceError } from '../../src/index.js'
import { FailureRecords, parseFailureRecord, retryTime } from '../../src/issuance/failure-records.js'
import { MemoryStore } from '../support/memory-store.js'
import { VirtualClock } from '../support/virtual-clock.js'

const minute = 60_000
const hour = 60 * minute
const day = 24 * hour
const now = Date.UTC(2027, 0, 1)

test.each([
  [1, minute],
  [2, 10 * minute],
  [3, 100 * minute],
  [4, day],
  [50, day],
])('after %i consecutive failures the next attempt is due in %i ms plus up to a tenth', (failures, wait) => {
  expect(retryTime(failures, now, 0)).toBe(now + wait)
  expect(retryTime(failures, now, 1)).toBe(now + wait * 1.1)
})

test('a Retry-After later than the schedule is honoured, an earlier one is not', () => {
  expect(retryTime(1, now, 0, { retryAfter: now + 3 * day })).toBe(now + 3 * day)
  expect(retryTime(4, now, 0, { retryAfter: now + minute })).toBe(now + day)
})

test.each([
  { lifetime: 90 * day, left: 30 * day, wait: day },
  { lifetime: 90 * day, left: 4 * day, wait: 12 * hour },
  { lifetime: 90 * day, left: hour, wait: 15 * minute },
  { lifetime: 6 * day, left: 2 * day, wait: 6 * hour },
  { lifetime: 40_000, left: 8_000, wait: 1_000 },
  { lifetime: 40_000, left: 0, wait: 800 },
])('with a served certificate, retries in an 8th of its remaining life: $left of $lifetime ms', (row) => {
  const notAfter = now + row.left
  const served = { notBefore: notAfter - row.lifetime, notAfter }
  expect(retryTime(9, now, 0, { served })).toBe(now + row.wait)
  // A served certificate shortens the wait and never lengthens it.
  expect(retryTime(1, now, 0, { served })).toBe(now + Math.min(row.wait, minute))
})

test.each([
  ['a Retry-After in the year 9999', '9999-12-31T23:59:59Z', 1],
  ['a Retry-After in the year 275760', '+275760-09-13T00:00:00Z', 1],
  ['Number.MAX_SAFE_INTEGER failures', '2026-10-01T01:00:00Z', Number.MAX_SAFE_INTEGER],
])('after %s the next attempt is still postponed', async (_, retryAfter, failures) => {
  const clock = new VirtualClock(Date.parse('2026-10-01T00:00:00Z'))
  const layout = storageLayout('https://ca.example/directory', 'ecdsa-p256')
  const records = new FailureRecords(new MemoryStore(), layout, clock)
  const error = new IssuanceError('ERR_ISSUANCE_FAILED', 'no', { retryAt: new Date(retryAfter) })
  await records.add('a.example', { failures, retryAt: 0, message: '' }, error, undefined)
  await expect(records.check('a.example', new AbortController().signal)).rejects.toMatchObject({
    code: 'ERR_ISSUANCE_POSTPONED',
  })
})

test('failed renewals do not count once the certificate has expired', async () => {
  const clock = new VirtualClock(now)
  const store = new MemoryStore()
  const records = new FailureRecords(
    store,
    storageLayout('https://ca.example/directory', 'ecdsa-p256'),
    clock,
  )
  const signal = new AbortController().signal
  const error = new IssuanceError('ERR_ISSUANCE_FAILED', 'no')
  const served = { notBefore: now - 90 * day, notAfter: now + hour }
  for (let times = 0; times < 10; times++) {
    const record = await records.check('a.example', signal)
    clock.advance((await records.add('a.example', record, error, served)).getTime() - clock.now())
  }
  const last = await records.check('a.example', signal)
  expect(last).toMatchObject({ failures: 10 })
  const retryAt = await records.add('a.example', last, error, undefined)
  expect(retryAt.getTime() - clock.now()).toBeLessThanOrEqual(1.1 * minute)
  clock.advance(2 * minute)
  expect(await records.check('a.example', signal)).toMatchObject({ failures: 1 })
})

test.each([[-1], [-8.64e15 - 1], [Date.parse('9999-01-02')], [8.64e15 + 1], [1.5], ['1'], [null]])(
  'a record with a retryAt of %j is invalid',
  (retryAt) => {
    const parse = (value: object) => parseFailureRecord(Buffer.from(JSON.stringify(value)))
    expect(parse({ failures: 1, retryAt: 0, message: 'no' })).toBeDefined()
    expect(parse({ failures: 1, retryAt, message: 'no' })).toBeUndefined()
  },
)

/** Records of one machine, and the store behind them. */
function setup() {
  const clock = new VirtualClock(now)
  const store = new MemoryStore()
  const layout = storageLayout('https://ca.example/directory', 'ecdsa-p256')
  const records = new FailureRecords(store, layout, clock)
  const check = (host = 'a.example') => records.check(host, new AbortController().signal)
  return { clock, store, records, check }
}
const failure = (retryAt?: number) =>
  new IssuanceError('ERR_ISSUANCE_FAILED', 'no', retryAt === undefined ? {} : { retryAt: new Date(retryAt) })
const postponed = { code: 'ERR_ISSUANCE_POSTPONED' }

test('a record that could not be stored applies in addition to an older stored one', async () => {
  const { clock, store, records, check } = setup()
  await records.add('a.example', undefined, failure(), undefined)
  clock.advance(2 * minute)
  const before = await check()
  store.before = (operation) => {
    if (operation === 'put') throw new Error('read-only')
  }
  await records.add('a.example', before, failure(clock.now() + day), undefined)
  clock.advance(day - 1)
  await expect(check()).rejects.toMatchObject(postponed)
  clock.advance(1)
  expect(await check()).toMatchObject({ failures: 2 })
})

test('a later record of another machine applies in addition to a local one', async () => {
  const { clock, store, records, check } = setup()
  records.addLocal('a.example', undefined, new Error('down'))
  const record = { failures: 4, retryAt: now + day, at: now, message: 'no' }
  store.values.set('ca.example~a.example+failure', Buffer.from(JSON.stringify(record)))
  clock.advance(hour)
  await expect(check()).rejects.toMatchObject(postponed)
})

test('a stored record is not held locally: once another machine removes it, nothing is postponed', async () => {
  const { store, records, check } = setup()
  await records.add('a.example', undefined, failure(), undefined)
  store.values.clear()
  expect(await check()).toBeUndefined()
})

test('a success removes the local record even if the stored record cannot be deleted', async () => {
  const { store, records, check } = setup()
  records.addLocal('a.example', undefined, new Error('down'))
  store.before = (operation) => {
    if (operation === 'delete') throw new Error('down')
  }
  await expect(records.remove('a.example')).rejects.toThrow('down')
  expect(await check()).toBeUndefined()
})

test('a process holds the local records of the 1,000 most recent hosts', async () => {
  const { records, check } = setup()
  for (let index = 0; index <= 1_000; index++)
    records.addLocal(`h${index}.example`, undefined, new Error('down'))
  expect(await check('h0.example')).toBeUndefined()
  await expect(check('h1.example')).rejects.toMatchObject(postponed)
  await expect(check('h1000.example')).rejects.toMatchObject(postponed)
})

test('attempts of many machines and hosts are spread over a tenth of the wait', async () => {
  const { records } = setup()
  const random = vi.spyOn(Math, 'random')
  onTestFinished(() => random.mockRestore())
  for (const [share, wait] of [
    [0, minute],
    [0.5, 1.05 * minute],
  ] as const) {
    random.mockReturnValue(share)
    expect(Number(await records.add('a.example', undefined, failure(), undefined))).toBe(now + wait)
  }
})

test('a record holds 2,000 characters of the message', async () => {
  const { store, records } = setup()
  const error = new IssuanceError('ERR_ISSUANCE_FAILED', 'x'.repeat(100_000))
  await records.add('a.example', undefined, error, undefined)
  const data = store.values.get('ca.example~a.example+failure') as Uint8Array
  expect(parseFailureRecord(data)?.message).toHaveLength(2_000)
})

test('local failures of a host are counted: 10 s after the first, then as scheduled', async () => {
  const { clock, records, check } = setup()
  const random = vi.spyOn(Math, 'random').mockReturnValue(0)
  onTestFinished(() => random.mockRestore())
  for (const wait of [10_000, 10 * minute, 100 * minute]) {
    records.addLocal('a.example', undefined, new Error('down'))
    clock.advance(wait - 1)
    await expect(check()).rejects.toMatchObject(postponed)
    clock.advance(1)
    await check()
  }
})

test('a record that is more than 5 minutes ahead of the clock is ignored', async () => {
  const { clock, store, records, check } = setup()
  const storeRecord = (at: number) => {
    const record = { failures: 1, retryAt: now + day, at, message: 'no' }
    store.values.set('ca.example~a.example+failure', Buffer.from(JSON.stringify(record)))
  }
  storeRecord(now + 5 * minute)
  await expect(check()).rejects.toMatchObject(postponed)
  storeRecord(now + 5 * minute + 1)
  expect(await check()).toBeUndefined()
  records.addLocal('b.example', undefined, new Error('down'))
  clock.advance(-5 * minute)
  await expect(check('b.example')).rejects.toMatchObject(postponed)
  clock.advance(-1)
  expect(await check('b.example')).toBeUndefined()
})

test('check passes its signal to the store', async () => {
  const { store, records } = setup()
  const { signal } = new AbortController()
  const get = vi.spyOn(store, 'get')
  await records.check('a.example', signal)
  expect(get).toHaveBeenCalledWith(expect.any(String), { signal })
})
