import { expect, onTestFinished, test, vi } from 'vitest'
import type { LiveCertificate } from '../../src/certificates/live-certificate.js'
import { RenewalSchedule } from '../../src/certificates/renewal-schedule.js'
import { ClosedError, HostError, IssuanceError, LockLostError, StoreError } from '../../src/index.js'
import { Attempts } from '../../src/issuance/attempts.js'
import { CaStore } from '../../src/issuance/store/ca-store.js'
import { systemClock } from '../../src/util/clock.js'
import { certId } from '../support/cert-id.js'
import { MemoryStore } from '../support/memory-store.js'
import { VirtualClock } from '../support/virtual-clock.js'

// What Attempts tracks in this process alone: the errors of failed requests, and the pauses of renewals.

const minute = 60_000
const hour = 60 * minute
const day = 24 * hour
const now = Date.parse('2026-11-24')
const id = certId('a.example')

function setup(max = 1_000) {
  const clock = new VirtualClock(now)
  const store = new MemoryStore()
  const attempts = new Attempts({ store: new CaStore(store, '', clock), clock, max, onFailed: () => {} })
  /** Milliseconds until renewal attempts are allowed. */
  const pauseMs = (live: LiveCertificate) =>
    Math.max(attempts.renewalNotBefore(live), clock.now()) - clock.now()
  const lastError = () => attempts.lastFailures()[0]?.error
  return { clock, store, attempts, pauseMs, lastError }
}
const failure = (retryAt: number) =>
  new IssuanceError('ERR_ISSUANCE_FAILED', 'no', { retryAt: new Date(retryAt) })

/** A certificate of 90 days that is due, from the store. */
function certificate({ name = 'a.example', serialNumber = '0A', lifetimeMs = 90 * day, dueIn = 0 } = {}) {
  const renewal = { at: now + dueIn, source: 'lifetime' } as const
  const schedule = new RenewalSchedule(lifetimeMs, renewal, now, false)
  const facts = { id: certId(name), serialNumber, notBefore: now, notAfter: now + lifetimeMs }
  return { ...facts, schedule } as LiveCertificate
}

test('the pauses between attempts double from 1 minute to the interval between checks', () => {
  const { clock, attempts, pauseMs } = setup()
  const live = certificate()
  expect(attempts.renewalNotBefore(live)).toBe(0)
  const pauses: number[] = []
  for (let times = 0; times < 20; times++) {
    attempts.renewalStarted(live)
    pauses.push(pauseMs(live) / minute)
    clock.advance(pauseMs(live))
  }
  expect(pauses.slice(0, 7)).toEqual([1, 2, 4, 8, 16, 32, 60])
  expect(new Set(pauses.slice(6))).toEqual(new Set([60]))
})

test('the first pause of a short certificate is a 50th of its lifetime', () => {
  const { attempts } = setup()
  const live = certificate({ lifetimeMs: 10 * minute })
  attempts.renewalStarted(live)
  expect(attempts.renewalNotBefore(live)).toBe(now + (10 * minute) / 50)
})

test('a certificate that is due soon after it is issued is not renewed for a quarter of its lifetime', () => {
  for (const [dueIn, pause] of [
    [-day, (90 * day) / 4],
    [0, (90 * day) / 4],
    [22.5 * day - 1, (90 * day) / 4],
    [22.5 * day, 0],
  ] as const) {
    const { attempts, pauseMs } = setup()
    const live = certificate({ dueIn })
    attempts.certificateChanged({ ...live, source: 'store' })
    expect(pauseMs(live)).toBe(0)
    attempts.certificateChanged({ ...live, source: 'acme' })
    expect(pauseMs(live)).toBe(pause)
  }
})

test('a new pause never shortens the current one', () => {
  const { attempts } = setup()
  const live = certificate()
  attempts.renewalFailed(live, failure(now + hour))
  attempts.renewalFailed(live, failure(now + minute))
  expect(attempts.renewalNotBefore(live)).toBe(now + hour)
  attempts.renewalStarted(live)
  expect(attempts.renewalNotBefore(live)).toBe(now + hour)
})

test('setting the clock back neither lengthens nor shortens a pause', () => {
  const { clock, attempts, pauseMs } = setup()
  const live = certificate()
  attempts.renewalFailed(live, failure(now + hour))
  clock.advance(-2 * hour)
  expect(attempts.renewalNotBefore(live)).toBe(now - hour)
  clock.advance(hour - 1)
  expect(pauseMs(live)).toBe(1)
  clock.advance(-30 * day)
  expect(pauseMs(live)).toBe(1)
  clock.advance(1)
  expect(pauseMs(live)).toBe(0)
  const short = certificate({ name: 'b.example' })
  attempts.renewalFailed(short, failure(clock.now() + 10_000))
  clock.advance(-day)
  expect(pauseMs(short)).toBe(10_000)
})

test('a system clock that was behind and is set right does not prolong a pause beyond its retry time', () => {
  const time = vi.spyOn(Date, 'now').mockReturnValue(now)
  onTestFinished(() => time.mockRestore())
  const attempts = new Attempts({
    store: new CaStore(new MemoryStore(), '', systemClock),
    clock: systemClock,
    max: 1,
    onFailed: () => {},
  })
  const live = certificate()
  attempts.renewalFailed(live, failure(now + hour))
  time.mockReturnValue(now + hour - 1)
  expect(attempts.renewalNotBefore(live)).toBe(now + hour)
  time.mockReturnValue(now + 2 * hour)
  expect(attempts.renewalNotBefore(live)).toBe(now + hour)
})

test('a pause that is looked up is not the first to be forgotten', () => {
  const { attempts } = setup(2)
  const [first, second, third] = ['a', 'b', 'c'].map((label) => certificate({ name: `${label}.example` }))
  if (!first || !second || !third) throw expect.unreachable()
  attempts.renewalStarted(first)
  attempts.renewalStarted(second)
  expect(attempts.renewalNotBefore(first)).toBe(now + minute)
  attempts.renewalStarted(third)
  expect(attempts.renewalNotBefore(first)).toBe(now + minute)
  expect(attempts.renewalNotBefore(second)).toBe(0)
})

test('a pause of a certificate does not apply to its successor, nor to other certificates', () => {
  const { attempts } = setup()
  attempts.renewalStarted(certificate())
  expect(attempts.renewalNotBefore(certificate({ serialNumber: '0B' }))).toBe(0)
  expect(attempts.renewalNotBefore(certificate({ name: 'b.example' }))).toBe(0)
  const rsa = { ...certificate(), id: certId('a.example', { keyType: 'rsa-2048' }) }
  expect(attempts.renewalNotBefore(rsa)).toBe(0)
  attempts.renewalStarted(certificate({ serialNumber: '0B' }))
  expect(attempts.renewalNotBefore(certificate({ serialNumber: '0B' }))).toBe(now + minute)
})

test('a pause lasts at most as long as the interval between checks: then the record is read again', () => {
  const { attempts } = setup()
  const live = certificate()
  attempts.renewalFailed(live, failure(now + 30 * day))
  expect(attempts.renewalNotBefore(live)).toBe(now + hour)
})

test('a renewal that the policy does not allow is attempted again at the interval between checks', () => {
  const { attempts } = setup()
  for (const code of ['ERR_HOST_POLICY', 'ERR_HOST_POLICY_FAILED'] as const) {
    const live = certificate({ name: code === 'ERR_HOST_POLICY' ? 'a.example' : 'b.example' })
    attempts.renewalFailed(live, new HostError(code, live.id.name, 'no'))
    expect(attempts.renewalNotBefore(live)).toBe(now + hour)
    expect(attempts.lastFailures().at(-1)?.error).toMatchObject({ code })
  }
})

test('a failed request is answered with the same error for 5 s, without a store read', () => {
  const { clock, store, attempts } = setup()
  const problem = { type: 'urn:ietf:params:acme:error:rateLimited', status: 429 }
  const retryAt = new Date(now + day)
  const error = new IssuanceError('ERR_ISSUANCE_FAILED', 'too many', { problem, retryAt })
  attempts.requestFailed(id, error)
  clock.advance(4_999)
  const held = { code: 'ERR_ISSUANCE_POSTPONED', cause: error, problem, retryAt }
  expect(() => attempts.assertNotHeld(id)).toThrow(expect.objectContaining(held))
  expect(() => attempts.assertNotHeld(id)).toThrow(
    `the order for "a.example" is postponed until ${retryAt.toISOString()}: too many`,
  )
  attempts.assertNotHeld(certId('b.example'))
  clock.advance(1)
  attempts.assertNotHeld(id)
  expect(store.take()).toEqual([])
})

test('a request is not held beyond its retry time', () => {
  const { clock, attempts } = setup()
  attempts.requestFailed(id, failure(now + 3_000))
  clock.advance(2_999)
  expect(() => attempts.assertNotHeld(id)).toThrow()
  clock.advance(1)
  attempts.assertNotHeld(id)
})

test('failures of held requests do not prolong the 5 s', () => {
  const { clock, attempts, lastError } = setup()
  attempts.requestFailed(id, failure(now + day))
  clock.advance(4_999)
  const held = new IssuanceError('ERR_ISSUANCE_POSTPONED', 'held', { retryAt: new Date(now + day) })
  attempts.requestFailed(id, held)
  expect(lastError()).toBe(held)
  clock.advance(1)
  attempts.assertNotHeld(id)
})

test('failures of other certificates end no hold', () => {
  const { attempts } = setup(2)
  attempts.requestFailed(id, failure(now + day))
  attempts.requestFailed(certId('b.example'), new StoreError('ERR_STORE_UNREACHABLE', 'down'))
  expect(() => attempts.assertNotHeld(id)).toThrow('the order for "a.example" is postponed until')
})

test('a clock that is set back does not prolong the 5 s', () => {
  const { clock, attempts } = setup()
  attempts.requestFailed(id, failure(now + day))
  clock.advance(-day)
  expect(() => attempts.assertNotHeld(id)).toThrow()
  clock.advance(5_000)
  attempts.assertNotHeld(id)
})

test.each([
  ['the store', new StoreError('ERR_STORE_UNREACHABLE', 'down')],
  ['an unknown cause', new Error('EMFILE')],
  ['an option', new IssuanceError('ERR_ACME_PROFILE', 'no such profile')],
])('a failure of %s is shared for 5 s, and then forgotten', (_, error) => {
  const { clock, attempts, lastError } = setup()
  expect(attempts.requestFailed(id, error)).toBe(error)
  expect(lastError()).toBe(error)
  clock.advance(4_999)
  expect(() => attempts.assertNotHeld(id)).toThrow(error)
  clock.advance(1)
  attempts.assertNotHeld(id)
})

test('a close is not remembered', () => {
  const { attempts, lastError } = setup()
  attempts.requestFailed(id, new ClosedError('closed'))
  attempts.assertNotHeld(id)
  expect(lastError()).toBeUndefined()
})

test('a host that the policy does not allow is not remembered', () => {
  const { attempts } = setup()
  attempts.requestFailed(id, new HostError('ERR_HOST_POLICY', 'a.example', 'no'))
  attempts.requestFailed(id, new HostError('ERR_HOST_POLICY_FAILED', 'a.example', 'no'))
  expect(attempts.lastFailures()).toEqual([])
})

test('after a request whose lock was lost repeatedly, the next order is postponed by 10 s', async () => {
  const { clock, attempts } = setup()
  attempts.requestFailed(id, new LockLostError('lost'))
  const check = () => attempts.check(id, new AbortController().signal)
  clock.advance(9_999)
  await expect(check()).rejects.toMatchObject({ code: 'ERR_ISSUANCE_POSTPONED' })
  clock.advance(1)
  await check()
})

test('a certificate that has entered memory ends the hold and clears the last error', () => {
  const { attempts } = setup()
  attempts.requestFailed(id, failure(now + day))
  attempts.certificateChanged(certificate())
  attempts.assertNotHeld(id)
  expect(attempts.lastFailures()).toEqual([])
})

test('the last failures are the most recent ones, the oldest first', () => {
  const { attempts } = setup(2)
  for (const name of ['a.example', 'b.example', 'c.example'])
    attempts.requestFailed(certId(name), new Error(name))
  expect(attempts.lastFailures().map(({ error }) => error.message)).toEqual(['b.example', 'c.example'])
  attempts.renewalFailed(certificate({ name: 'b.example' }), new Error('again'))
  expect(attempts.lastFailures().map(({ error }) => error.message)).toEqual(['c.example', 'again'])
})
