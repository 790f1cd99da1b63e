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

test('a new certificate is first checked after the interval; one read from the store at a random time within it', () => {
  for (const random of [0, 0.25, 0.999]) {
    setRandom(random)
    expect(open({ isNew: true }).wakeAt()).toBe(now + hour)
    expect(open().wakeAt()).toBe(now + random * hour)
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
    expect((schedule.wakeAt() - now) / hour).toBeCloseTo(factor, 4)
  }
})

test('a certificate without handshakes is checked five intervals later, and renewed on time', () => {
  setRandom(0.5)
  expect(open().idleWakeAt()).toBe(now + 5.5 * hour)
  expect(open({ dueIn: 2 * hour }).idleWakeAt()).toBe(now + 2 * hour)
})

test('setWindowTime replaces the renewal time and its source, and records that the window is known', () => {
  const schedule = open()
  expect(schedule.windowFetched).toBe(false)
  schedule.setWindowTime({ at: now + day, source: 'ari' })
  expect(schedule).toMatchObject({ renewAt: now + day, renewAtSource: 'ari', windowFetched: true })
  schedule.markChecked(now + 2 * day)
  expect(schedule.wakeAt()).toBe(now + day)
})

test('a pause delays the renewal, with handshakes and without, but not the check', () => {
  setRandom(0.5)
  const schedule = open({ dueIn: 0 })
  expect([schedule.wakeAt(), schedule.idleWakeAt()]).toEqual([now, now])
  expect(schedule.wakeAt(now + minute)).toBe(now + minute)
  expect(schedule.idleWakeAt(now + 2 * hour)).toBe(now + 2 * hour)
  expect(schedule.wakeAt(now + 2 * hour)).toBe(now + hour / 2)
  expect(schedule.idleWakeAt(now + 9 * hour)).toBe(now + 5.5 * hour)
})

test('checkBy brings the next check forward, and never delays it', () => {
  const schedule = open({ isNew: true })
  schedule.checkBy(now - day)
  expect(schedule.wakeAt()).toBe(now - day)
  schedule.checkBy(now + day)
  expect(schedule.wakeAt()).toBe(now - day)
})
