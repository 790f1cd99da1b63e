import { expect } from 'vitest'
import type { Outcome, WorldOptions } from './world.js'

/** What is promised of renewals, whatever happens to CA, store and machines. */
export function promises({ days, hosts, memoryMax = hosts }: WorldOptions, outcome: Outcome): void {
  const { broken, orders, counts, events } = outcome
  const excess = orders.map(({ count, dueAfterDays }) => (count - 1) / (days / dueAfterDays))
  const numbers = orders.map(({ count }) => count)
  console.log(
    `orders per host: ${Math.min(...numbers)} to ${Math.max(...numbers)}, at most ${Math.max(...excess).toFixed(2)} ` +
      `times those that are due; ${JSON.stringify(counts)}; ${JSON.stringify(events)}`,
  )
  expect(broken).toEqual([])
  // The first order of each host is none of a renewal. Late ones, after outages, make them fewer.
  expect(Math.max(...excess)).toBeLessThanOrEqual(1.2)
  expect(orders).toHaveLength(hosts)
  // Once a host has a certificate it always has one, so that none is ever the first again.
  expect(events.issued).toBeGreaterThanOrEqual(hosts)
  if (memoryMax >= hosts) expect(events.issued).toBeLessThanOrEqual(hosts + counts.lostCertificates)
  // All of this has happened, or nothing would have been shown; in a short time not everything has to.
  expect(counts.handshakes).toBeGreaterThan(days * hosts)
  const { locksLost, lostCertificates, ...usual } = counts
  const certain = days < 1_000 ? usual : counts
  expect(Math.min(...Object.values(certain))).toBeGreaterThan(0)
}
