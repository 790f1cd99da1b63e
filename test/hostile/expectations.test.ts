import { expect, test } from 'vitest'
import { expectFlat } from './expectations.js'
import type { Report } from './target.js'

const megabyte = 2 ** 20

/** Creates reports of seven rounds, between which the process grew by these MB. */
function reports(of: 'rss' | 'heapUsed' | 'external', growths: readonly number[]): Report[] {
  const report = (megabytes: number) =>
    ({ rss: 0, heapUsed: 0, external: 0, [of]: megabytes * megabyte }) as unknown as Report
  let size = 100
  const later = growths.map((growth) => {
    size += growth
    return report(size)
  })
  return [report(100), ...later]
}

test.each(['rss', 'heapUsed', 'external'] as const)(
  'a leak of %s is detected even if the process does not grow in every round',
  (of) => {
    expect(() => expectFlat(reports(of, [2, 2, 2, 2, 2, 2]), 50)).toThrow(/less than/)
    expect(() => expectFlat(reports(of, [2, 2, -5, 2, 2, 2]), 50)).toThrow(/less than/)
    expect(() => expectFlat(reports(of, [2, 2, 0, 2, 0, 2]), 50)).toThrow(/less than/)
  },
)

test('memory that an allocator takes in a few steps is not a leak', () => {
  expectFlat(reports('rss', [20, 0, 0, 5, 0, 0]), 50)
  expectFlat(reports('heapUsed', [3, -2, 0.01, 0, 1, 0]), 50)
})

test('the resident set may grow a little with each handshake, but not by a connection', () => {
  expectFlat(reports('rss', [4, 4, 4, 4, 4, 4]), 300)
  expect(() => expectFlat(reports('rss', [9, 9, 9, 9, 9, 9]), 300)).toThrow(/less than/)
  expect(() => expectFlat(reports('heapUsed', [1, 1, 1, 1, 1, 1]), 300)).toThrow(/less than/)
})
