import { expect, test } from 'vitest'
import { renewalTime } from '../src/renewal.js'

const hour = 3_600_000
const day = 24 * hour

test.each([
  ['1 hour', hour, undefined, (2 / 3) * hour],
  ['6 days', 6 * day, undefined, 4 * day],
  ['45 days', 45 * day, undefined, 30 * day],
  ['90 days', 90 * day, undefined, 60 * day],
  ['398 days', 398 * day, undefined, (398 * day * 2) / 3],
  ['90 days, 30 days before', 90 * day, 30 * day, 60 * day],
  ['90 days, 10 days before', 90 * day, 10 * day, 80 * day],
  ['6 days, 30 days before: at half the lifetime, not always', 6 * day, 30 * day, 3 * day],
])('a certificate of %s', (_, lifetime, renewBeforeMs, expected) => {
  const start = Date.parse('2026-11-24')
  const at = (random: number) =>
    renewalTime({ notBefore: start, notAfter: start + lifetime, renewBeforeMs, random }) - start
  expect(at(0)).toBe(Math.round(expected))
  expect(at(0.999)).toBeGreaterThan(expected)
  expect(at(0.999)).toBeLessThan(expected + lifetime / 50)
  expect(at(0.999)).toBeLessThan(lifetime)
})
