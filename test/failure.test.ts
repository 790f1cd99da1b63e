import { expect, test } from 'vitest'
import { retryTime } from '../src/failure.js'

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
])('after %i failures in a row the next attempt is made in %i ms, up to a tenth later', (failures, wait) => {
  expect(retryTime(failures, now, 0)).toBe(now + wait)
  expect(retryTime(failures, now, 1)).toBe(now + wait * 1.1)
})

test('a later time of the CA is kept, an earlier one is not', () => {
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
])('while a certificate is served, an 8th of what is left of it: $lifetime ms, $left ms left', (row) => {
  const notAfter = now + row.left
  const served = { notBefore: notAfter - row.lifetime, notAfter }
  expect(retryTime(9, now, 0, { served })).toBe(now + row.wait)
  // Sooner than usual, never later.
  expect(retryTime(1, now, 0, { served })).toBe(now + Math.min(row.wait, minute))
})
