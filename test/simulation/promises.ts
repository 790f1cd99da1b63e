import { expect } from 'vitest'
import type { Outcome, WorldOptions } from './world.js'

/** What is promised of renewals, whatever happens to CA, store and machines. */
export function promises({ days, lifetimeDays, hosts }: WorldOptions, outcome: Outcome): void {
  const orders = [...outcome.orders.values()]
  const usual = days / ((lifetimeDays * 2) / 3)
  console.log(
    `${outcome.handshakes} handshakes, ${outcome.failed.length} failed; ${outcome.outages.ca} outages of the CA, ` +
      `${outcome.outages.store} of the store, ${outcome.restarts} restarts; orders per host: ${Math.min(...orders)} to ` +
      `${Math.max(...orders)}, ${usual.toFixed(1)} at two thirds of the lifetime; ${JSON.stringify(outcome.events)}`,
  )
  expect(outcome.failed).toEqual([])
  expect(outcome.handshakes).toBeGreaterThan(days * hosts)
  expect(outcome.outages.ca).toBeGreaterThan(0)
  expect(outcome.outages.store).toBeGreaterThan(0)
  expect(outcome.restarts).toBeGreaterThan(0)
  expect(orders).toHaveLength(hosts)
  // The first order of each host is none of a renewal.
  for (const count of orders) expect(count - 1).toBeLessThanOrEqual(1.2 * usual)
}
