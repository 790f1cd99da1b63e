import { expect, test } from 'vitest'
import type { RenewalInfo } from '../../src/acme/renewal-info.js'
import type { LiveCertificate } from '../../src/certificates/secure-contexts.js'
import { storageLayout } from '../../src/certificates/storage-layout.js'
import { parseRenewalInfoRecord, RenewalInfoRecords } from '../../src/issuance/renewal-info-records.js'
import { LockingStore } from '../support/locking-store.js'
import { StillClock } from '../support/still-clock.js'

const parse = (json: string) => parseRenewalInfoRecord(Buffer.from(json))

test('the CA’s wish is read as it was written', () => {
  const record = { serialNumber: '0A', window: { start: 1, end: 2 }, askAt: 3 }
  expect(parse(JSON.stringify(record))).toEqual(record)
  expect(parse(JSON.stringify({ ...record, window: null }))).toEqual({ ...record, window: null })
  expect(parse('{"serialNumber":"0A","window":{"start":1,"end":2,"x":1},"askAt":3,"x":1}')).toEqual(record)
})

test.each([
  ['a window that ends at no number', '{"serialNumber":"0A","window":{"start":1,"end":"2"},"askAt":3}'],
  ['a window without an end', '{"serialNumber":"0A","window":{"start":1,"end":1e999},"askAt":3}'],
  ['a window wider than numbers', '{"serialNumber":"0A","window":{"start":-1e308,"end":1e308},"askAt":3}'],
  ['a time that no Date can hold', '{"serialNumber":"0A","window":null,"askAt":1e300}'],
  ['no window', '{"serialNumber":"0A","askAt":3}'],
  ['another value', 'null'],
  ['half of it', '{"serialNumber":"0A","wind'],
])('%s is none', (_, json) => {
  expect(parse(json)).toBeUndefined()
})

const hour = 3_600_000
const day = 24 * hour
const key = 'a.example+renewal'

/** Machines that share a store, a certificate that is a day old, and a CA that answers as it is told. */
function setup() {
  const clock = new StillClock()
  const store = new LockingStore()
  const layout = storageLayout('https://ca.example/directory', 'ecdsa-p256', '')
  const now = clock.now()
  const live = {
    host: 'a.example',
    serialNumber: '0A',
    notBefore: now - day,
    notAfter: now + 89 * day,
  } as LiveCertificate
  const window = { start: now + day, end: now + 2 * day }
  const ca = {
    requests: 0,
    answer: async (): Promise<RenewalInfo> => ({ window, retryAfter: undefined }),
  }
  const fetchInfo = () => {
    ca.requests += 1
    return ca.answer()
  }
  const closing = new AbortController().signal
  const machine = () => new RenewalInfoRecords({ store, layout, clock, closing, fetchInfo })
  const stored = () => parseRenewalInfoRecord(store.values.get(key) as Uint8Array)
  return { clock, store, live, window, ca, machine, stored }
}

test.each([
  ['nothing: after 6 hours', undefined, 6 * hour],
  ['a moment: after a minute', 0, 60_000],
  ['2 hours: after 2 hours', 2 * hour, 2 * hour],
  ['a year: after a day', 365 * day, day],
])('a CA that wants to be asked again after %s', async (_, retryAfterMs, ms) => {
  const { clock, live, window, ca, machine, stored } = setup()
  const retryAfter = retryAfterMs === undefined ? undefined : clock.now() + retryAfterMs
  ca.answer = async () => ({ window, retryAfter })
  expect(await machine().renewalWindow(live)).toEqual(window)
  expect(stored()?.askAt).toBe(clock.now() + ms)
  clock.advance(ms - 1)
  expect(await machine().renewalWindow(live)).toEqual(window)
  expect(ca.requests).toBe(1)
  clock.advance(1)
  await machine().renewalWindow(live)
  expect(ca.requests).toBe(2)
})

test('a machine that gets the lock after another has asked takes its answer from the store', async () => {
  const { store, live, window, ca, machine, stored } = setup()
  await machine().renewalWindow(live)
  const record = store.values.get(key) as Uint8Array
  store.values.delete(key)
  store.before = (operation) => {
    if (operation === 'lock') store.values.set(key, record)
  }
  expect(await machine().renewalWindow(live)).toEqual(window)
  expect(ca.requests).toBe(1)
  expect(stored()).toBeDefined()
  expect(store.held(key)).toBe(false)
})

test('a record of another certificate, or by a clock that was ahead, is not relied on', async () => {
  const { clock, store, live, ca, machine } = setup()
  const put = (change: object) => {
    const record = { serialNumber: '0A', window: null, askAt: clock.now() + hour, ...change }
    store.values.set(key, Buffer.from(JSON.stringify(record)))
  }
  put({})
  expect(await machine().renewalWindow(live)).toBeUndefined()
  expect(ca.requests).toBe(0)
  put({ serialNumber: '0B' })
  expect(await machine().renewalWindow(live)).toBeDefined()
  put({ askAt: clock.now() + day + 1 })
  expect(await machine().renewalWindow(live)).toBeDefined()
  expect(ca.requests).toBe(2)
})

test('a CA that fails is asked again after 6 hours, and what it said before still holds', async () => {
  const { clock, live, window, ca, machine, stored } = setup()
  await machine().renewalWindow(live)
  ca.answer = () => Promise.reject(new Error('down'))
  clock.advance(6 * hour)
  expect(await machine().renewalWindow(live)).toEqual(window)
  expect(stored()).toMatchObject({ window, askAt: clock.now() + 6 * hour })
})

test('the CA is not asked about a certificate that is younger than 6 hours', async () => {
  const { clock, store, live, ca, machine } = setup()
  const young = { ...live, notBefore: clock.now() - 6 * hour + 1, notAfter: clock.now() + 90 * day }
  expect(await machine().renewalWindow(young)).toBeUndefined()
  expect(ca.requests).toBe(0)
  expect(store.take()).toEqual([])
  clock.advance(1)
  await machine().renewalWindow(young)
  expect(ca.requests).toBe(1)
})
