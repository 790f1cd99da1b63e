import { expect, test, vi } from 'vitest'
import type { RenewalInfo } from '../../src/acme/renewal-info.js'
import type { LiveCertificate } from '../../src/certificates/live-certificate.js'
import { ClosedError, IssuanceError } from '../../src/index.js'
import { RenewalInfoRecords } from '../../src/issuance/renewal-info-records.js'
import { CaStore } from '../../src/issuance/store/ca-store.js'
import { parseRenewalInfoRecord } from '../../src/issuance/store/records.js'
import { NoResponseError } from '../../src/util/errors.js'
import { certId } from '../support/cert-id.js'
import { LockingStore } from '../support/locking-store.js'
import { StillClock } from '../support/still-clock.js'

const hour = 3_600_000
const day = 24 * hour
const key = 'a.example+renewal'

/** Machines that share a store, a certificate that is a day old, and a CA whose answers the test sets. */
function setup() {
  const clock = new StillClock()
  const store = new LockingStore()
  const now = clock.now()
  const live = {
    id: certId('a.example'),
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
  const caStore = new CaStore(store, '', clock)
  const machine = () =>
    new RenewalInfoRecords({
      store: caStore,
      clock,
      closing,
      issuer: { renewalInfo: fetchInfo },
    })
  const stored = () => parseRenewalInfoRecord(store.values.get(key) as Uint8Array)
  return { clock, store, live, window, ca, closing, machine, stored }
}

test.each([
  ['6 hours without a Retry-After', undefined, 6 * hour],
  ['1 minute with a Retry-After of 0', 0, 60_000],
  ['2 hours with a Retry-After of 2 hours', 2 * hour, 2 * hour],
  ['1 day with a Retry-After of 1 year', 365 * day, day],
])('renewal info is requested again after %s', async (_, retryAfterMs, ms) => {
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

test('a machine that acquires the lock after another’s request reads the answer from the store', async () => {
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

test('a record for another certificate, or from a clock that was ahead, is ignored', async () => {
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

test.each([
  ['does not respond', new NoResponseError('down')],
  ['cannot be asked for lack of descriptors', Object.assign(new Error('open EMFILE'), { code: 'EMFILE' })],
])('if the CA %s, nothing is stored, and this machine asks again after 1 minute', async (_, error) => {
  const { clock, store, live, window, ca, machine } = setup()
  const [sick, healthy] = [machine(), machine()]
  await sick.renewalWindow(live)
  const record = store.values.get(key)
  const { answer } = ca
  ca.answer = () => Promise.reject(error)
  clock.advance(6 * hour)
  expect(await sick.renewalWindow(live)).toEqual(window)
  expect(store.values.get(key)).toEqual(record)
  expect(store.held(key)).toBe(false)
  clock.advance(59_999)
  expect(await sick.renewalWindow(live)).toEqual(window)
  expect(await sick.renewalWindow({ ...live, serialNumber: '0B' })).toBeUndefined()
  expect(ca.requests).toBe(2)
  clock.advance(1)
  await sick.renewalWindow(live)
  expect(ca.requests).toBe(3)
  ca.answer = answer
  expect(await healthy.renewalWindow(live)).toEqual(window)
  expect(ca.requests).toBe(4)
  // While it pauses, the sick machine reads the answer of another.
  expect(await sick.renewalWindow(live)).toEqual(window)
  expect(store.values.get(key)).not.toEqual(record)
})

test('after a failed request the former window still applies, and the next request is due in 6 hours', async () => {
  const { clock, live, window, ca, machine, stored } = setup()
  await machine().renewalWindow(live)
  ca.answer = () => Promise.reject(new IssuanceError('ERR_ISSUANCE_FAILED', 'status 500'))
  clock.advance(6 * hour)
  expect(await machine().renewalWindow(live)).toEqual(window)
  expect(stored()).toMatchObject({ window, askAt: clock.now() + 6 * hour })
})

test('after a failed request with a Retry-After, the next request is due at that time', async () => {
  const { clock, live, ca, machine, stored } = setup()
  const retryAt = new Date(clock.now() + 2 * hour)
  ca.answer = () => Promise.reject(new IssuanceError('ERR_ISSUANCE_FAILED', 'busy', { retryAt }))
  expect(await machine().renewalWindow(live)).toBeUndefined()
  expect(stored()).toMatchObject({ window: null, askAt: retryAt.getTime() })
})

test('if the CA suggests no window, the next request follows after a day', async () => {
  const { clock, live, ca, machine, stored } = setup()
  ca.answer = async () => ({ window: undefined, retryAfter: undefined })
  expect(await machine().renewalWindow(live)).toBeUndefined()
  expect(stored()).toMatchObject({ window: null, askAt: clock.now() + day })
})

test('a request that ends because the manager is closed leaves no record and no lock', async () => {
  const { store, live, ca, machine } = setup()
  ca.answer = () => Promise.reject(new ClosedError('closed'))
  await expect(machine().renewalWindow(live)).rejects.toMatchObject({ code: 'ERR_CLOSED' })
  expect(store.values.size).toBe(0)
  expect(store.held(key)).toBe(false)
})

test('store requests are aborted when the manager is closed', async () => {
  const { store, live, machine, closing } = setup()
  const get = vi.spyOn(store, 'get')
  const put = vi.spyOn(store, 'put')
  await machine().renewalWindow(live)
  expect(get).toHaveBeenCalledWith(key, { signal: closing })
  expect(put).toHaveBeenCalledWith(key, expect.anything(), { signal: closing })
})

test('renewal info is not requested for a short-lived certificate in the first 50th of its lifetime', async () => {
  const { clock, live, ca, machine } = setup()
  const young = { ...live, notBefore: clock.now() - 2 * hour + 1, notAfter: clock.now() + 98 * hour + 1 }
  expect(await machine().renewalWindow(young)).toBeUndefined()
  expect(ca.requests).toBe(0)
  clock.advance(1)
  expect(await machine().renewalWindow(young)).toBeDefined()
})

test('renewal info is not requested for a certificate younger than 6 hours', async () => {
  const { clock, store, live, ca, machine } = setup()
  const young = { ...live, notBefore: clock.now() - 6 * hour + 1, notAfter: clock.now() + 90 * day }
  expect(await machine().renewalWindow(young)).toBeUndefined()
  expect(ca.requests).toBe(0)
  expect(store.take()).toEqual([])
  clock.advance(1)
  await machine().renewalWindow(young)
  expect(ca.requests).toBe(1)
})
