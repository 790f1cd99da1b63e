import { afterEach, expect, test, vi } from 'vitest'
import { RenewalSchedule } from '../../src/certificates/renewal-schedule.js'

const minute = 60_000
const hour = 60 * minute
const day = 24 * hour
const now = Date.parse('2026-11-24')

afterEach(() => void vi.restoreAllMocks())
const setRandom = (random: number) => vi.spyOn(Math, 'random').mockReturnValue(random)

/** The schedule of a certificate of 90 days that is due in 60. */
const open = ({ lifetimeMs = 90 * day, dueIn = 60 * day, isNew = false } = {}) =>
  new RenewalSchedule(lifetimeMs, { at: now + dueIn, source: 'lifetime' }, now, isNew)

test.each([
  ['90 days', 90 * day, hour],
  ['10 hours', 10 * hour, hour / 2],
])(
  'a certificate of %s is compared with the store every hour or 20th of its lifetime, whichever is shorter',
  (_, lifetimeMs, expected) => {
    expect(open({ lifetimeMs }).checkEveryMs).toBe(expected)
  },
)

test('the pauses between attempts double from 1 minute to the interval between checks', () => {
  const schedule = open({ dueIn: 0 })
  expect(schedule.attemptAt).toBe(now)
  const pauses: number[] = []
  for (let time = now, times = 0; times < 20; times++) {
    schedule.markAttempted(time)
    pauses.push((schedule.attemptAt - time) / minute)
    time = schedule.attemptAt
  }
  expect(pauses.slice(0, 7)).toEqual([1, 2, 4, 8, 16, 32, 60])
  expect(new Set(pauses.slice(6))).toEqual(new Set([60]))
})

test('the first pause of a short certificate is a 50th of its lifetime', () => {
  const schedule = open({ lifetimeMs: 10 * minute, dueIn: 0 })
  schedule.markAttempted(now)
  expect(schedule.attemptAt).toBe(now + (10 * minute) / 50)
})

test('a certificate that is due when it is issued is not renewed for a quarter of its lifetime', () => {
  expect(open({ dueIn: -day, isNew: true }).attemptAt).toBe(now + (90 * day) / 4)
  expect(open({ dueIn: 0, isNew: true }).attemptAt).toBe(now + (90 * day) / 4)
  expect(open({ dueIn: 1, isNew: true }).attemptAt).toBe(now + 1)
  expect(open({ dueIn: -day, isNew: false }).attemptAt).toBe(now - day)
})

test('a new certificate is first checked after the interval; one read from the store at a random time within it', () => {
  for (const random of [0, 0.25, 0.999]) {
    setRandom(random)
    expect(open({ isNew: true }).wakeAt).toBe(now + hour)
    expect(open().wakeAt).toBe(now + random * hour)
  }
})

test('the next check follows 1 to 1.2 intervals after the last one', () => {
  for (const [random, factor] of [
    [0, 1],
    [0.5, 1.1],
    [0.999_999, 1.2],
  ] as const) {
    setRandom(random)
    const schedule = open()
    schedule.markChecked(now)
    expect((schedule.wakeAt - now) / hour).toBeCloseTo(factor, 4)
  }
})

test('a certificate without handshakes is checked five intervals later, and renewed on time', () => {
  setRandom(0.5)
  expect(open().idleWakeAt).toBe(now + 5.5 * hour)
  expect(open({ dueIn: 2 * hour }).idleWakeAt).toBe(now + 2 * hour)
})

test('a new pause never shortens the current one', () => {
  const schedule = open({ dueIn: 0 })
  schedule.pauseUntil(now + hour)
  schedule.pauseUntil(now + minute)
  expect(schedule.attemptAt).toBe(now + hour)
  schedule.markAttempted(now)
  expect(schedule.attemptAt).toBe(now + hour)
})

test('setRenewalTime replaces the renewal time and its source', () => {
  const schedule = open()
  schedule.setRenewalTime({ at: now + day, source: 'ari' })
  expect(schedule).toMatchObject({ renewAt: now + day, renewAtSource: 'ari', attemptAt: now + day })
})

test('setting the clock back shortens pauses by the same amount, but not below the first pause', () => {
  const schedule = open({ dueIn: 0 })
  schedule.pauseUntil(now + 10 * hour)
  schedule.onClockSetBack(now - 2 * hour, 2 * hour)
  expect(schedule.attemptAt).toBe(now + 8 * hour)
  schedule.onClockSetBack(now, 30 * day)
  expect(schedule.attemptAt).toBe(now + minute)
  expect(schedule.wakeAt).toBeLessThanOrEqual(now)
})

test('setting the clock back does not lengthen a pause', () => {
  const schedule = open({ dueIn: 0 })
  schedule.pauseUntil(now + 10_000)
  schedule.onClockSetBack(now, day)
  expect(schedule.attemptAt).toBe(now + 10_000)
})
