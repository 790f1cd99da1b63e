import { expect, test } from 'vitest'
import { renewalPause, retryTime } from '../../src/certificates/retry-time.js'

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

/** The pauses after ten attempts, in milliseconds. */
const pauses = (lifetimeMs: number, maxMs: number) =>
  Array.from({ length: 10 }, (_, attempts) =>
    renewalPause({ notBefore: now, notAfter: now + lifetimeMs }, attempts, maxMs),
  )

test('the pauses between renewal attempts double from 1 minute to the maximum', () => {
  expect(pauses(90 * day, hour).map((ms) => ms / minute)).toEqual([1, 2, 4, 8, 16, 32, 60, 60, 60, 60])
  expect(renewalPause({ notBefore: now, notAfter: now + 90 * day }, 10_000, hour)).toBe(hour)
})

test('the first pause of a short certificate is a 50th of its lifetime, rounded up', () => {
  expect(pauses(10 * minute, minute / 2).slice(0, 3)).toEqual([12_000, 24_000, 30_000])
  expect(pauses(50 * minute, hour)[0]).toBe(minute)
  expect(pauses(10_001, hour)[0]).toBe(201)
})
