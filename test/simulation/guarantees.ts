import { expect } from 'vitest'
import type { Outcome, WorldOptions } from './world.js'

/** Asserts what the library guarantees about renewals under any failure of CA, store and machines. */
export function assertGuarantees({ days, hosts, memoryMax = hosts }: WorldOptions, outcome: Outcome): void {
  const { violations, orders, counts, events } = outcome
  const excess = orders.map(({ count, dueAfterDays }) => (count - 1) / (days / dueAfterDays))
  const numbers = orders.map(({ count }) => count)
  console.log(
    `orders per host: ${Math.min(...numbers)} to ${Math.max(...numbers)}, at most ${Math.max(...excess).toFixed(2)} ` +
      `times those that are due; ${JSON.stringify(counts)}; ${JSON.stringify(events)}`,
  )
  expect(violations).toEqual([])
  // The first order of a host is not a renewal. Late renewals after outages lower the number.
  expect(Math.max(...excess)).toBeLessThanOrEqual(1.2)
  expect(orders).toHaveLength(hosts)
  // `issued` is reported for first certificates: a host that has one always has one.
  expect(events.issued).toBeGreaterThanOrEqual(hosts)
  if (memoryMax >= hosts) expect(events.issued).toBeLessThanOrEqual(hosts + counts.lostCertificates)
  // Every kind of trouble has occurred; a short run need not have the rare ones.
  expect(counts.handshakes).toBeGreaterThan(days * hosts)
  const { locksLost, lostCertificates, ...frequent } = counts
  const expected = days < 1_000 ? frequent : counts
  expect(Math.min(...Object.values(expected))).toBeGreaterThan(0)
}
