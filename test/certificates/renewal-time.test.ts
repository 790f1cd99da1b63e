import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { RenewalTimes, renewalTime } from '../../src/certificates/renewal-time.js'

const minute = 60_000
const hour = 60 * minute
const day = 24 * hour
const start = Date.parse('2026-11-24')

const lifetimes = [hour, 6 * hour, day, 160 * hour, 45 * day, 64 * day, 90 * day, 398 * day]
const randoms = [0, 0.25, 0.5, 0.999_999]

test.each([
  ['1 hour', hour, undefined, 40 * minute],
  ['6 days', 6 * day, undefined, 4 * day],
  ['45 days', 45 * day, undefined, 30 * day],
  ['90 days', 90 * day, undefined, 60 * day],
  ['398 days', 398 * day, undefined, (398 * day * 2) / 3],
  ['90 days with a renewBeforeMs of 30 days', 90 * day, 30 * day, 60 * day],
  ['90 days with a renewBeforeMs of 10 days', 90 * day, 10 * day, 80 * day],
  ['6 days with a renewBeforeMs of 30 days: at half the lifetime, not at once', 6 * day, 30 * day, 3 * day],
  ['90 days with a renewBeforeMs of 1 s: at 95 % of the lifetime', 90 * day, 1_000, 85.5 * day],
])('a renewal is spread over a 50th of the lifetime: %s', (_, lifetime, renewBeforeMs, expected) => {
  const at = (random: number) =>
    renewalTime({ notBefore: start, notAfter: start + lifetime, renewBeforeMs, random }).at - start
  expect(at(0)).toBe(Math.round(expected))
  expect(at(0.999)).toBeGreaterThan(expected)
  expect(at(0.999)).toBeLessThan(expected + lifetime / 50)
})

describe.each(lifetimes)('with a lifetime of %i ms', (lifetime) => {
  const at = (input: object, random: number) =>
    renewalTime({ notBefore: start, notAfter: start + lifetime, random, ...input })
  const share = (time: number) => (time - start) / lifetime

  test.each([undefined, 1, minute, hour, day, 30 * day, 400 * day])(
    'renews between 50 and 97 % of the lifetime with a renewBeforeMs of %s',
    (renewBeforeMs) => {
      for (const random of randoms) {
        expect(share(at({ renewBeforeMs }, random).at)).toBeGreaterThanOrEqual(0.5)
        expect(share(at({ renewBeforeMs }, random).at)).toBeLessThanOrEqual(0.97)
      }
    },
  )

  test('renews in the CA’s window, even in the past, but no later than 95 % of the lifetime', () => {
    for (const [from, to] of [
      [-0.5, -0.4],
      [0.1, 0.2],
      [0.6, 0.7],
    ] as const) {
      const window = { start: start + from * lifetime, end: start + to * lifetime }
      for (const random of randoms) {
        const { at: time, source } = at({ window }, random)
        expect(share(time)).toBeCloseTo(from + random * (to - from), 5)
        expect(source).toBe('ari')
      }
    }
    const late = { start: start + 2 * lifetime, end: start + 3 * lifetime }
    expect(share(at({ window: late }, 0.5).at)).toBeCloseTo(0.95, 5)
  })

  test('renews at renewBeforeMs if the CA’s window is later', () => {
    const window = { start: start + 0.8 * lifetime, end: start + 0.9 * lifetime }
    const early = at({ window, renewBeforeMs: 0.4 * lifetime }, 0)
    expect(early.source).toBe('renewBeforeMs')
    expect(share(early.at)).toBeCloseTo(0.6, 5)
    expect(at({ window, renewBeforeMs: 0.1 * lifetime }, 0).source).toBe('ari')
  })
})

describe('the renewal times of a process', () => {
  const certificate = { serialNumber: '04A1B2C3D4', notBefore: start, notAfter: start + 90 * day }

  test('an unchanged window does not change the renewal time', () => {
    const times = new RenewalTimes(undefined)
    const own = times.of(certificate)
    expect(own.source).toBe('lifetime')
    const window = { start: start + 10 * day, end: start + 20 * day }
    const suggested = times.of(certificate, window)
    expect(suggested.source).toBe('ari')
    expect(suggested.at).toBeGreaterThanOrEqual(window.start)
    expect(suggested.at).toBeLessThanOrEqual(window.end)
    expect(times.of(certificate, { ...window })).toEqual(suggested)
    expect(times.of(certificate)).toEqual(own)
  })

  test('renewBeforeMs applies', () => {
    const { at, source } = new RenewalTimes(10 * day).of(certificate)
    expect(source).toBe('renewBeforeMs')
    expect(at - start).toBeGreaterThanOrEqual(80 * day)
  })

  test.each([0, 0.5, 0.999])(
    'are spread by serial number, and over a 40th of that range by process: random %f',
    (random) => {
      vi.spyOn(Math, 'random').mockReturnValue(random)
      onTestFinished(() => void vi.restoreAllMocks())
      const { at } = new RenewalTimes(undefined).of(certificate)
      const bySerialNumber = Number.parseInt(certificate.serialNumber.slice(-8), 16) / 2 ** 32
      const spread = ((at - start) / (90 * day) - 2 / 3) * 50
      expect(spread).toBeCloseTo((bySerialNumber * 39 + random) / 40, 5)
    },
  )
})
