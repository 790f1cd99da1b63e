import { afterEach, describe, expect, test } from 'vitest'
import { type Fleet, type Machine, openFleet } from './fleet.js'
import type { OpenPlace } from './places.js'

const host = 'a.fleet.example'

export const failures = ({ events }: Pick<Machine, 'events'>, name: string) =>
  events.filter((event) => event.name === name)

/** What a fleet has to do on every store. */
export function fleetCases(storeName: string, openPlace: OpenPlace) {
  describe(`a fleet on ${storeName}`, () => {
    const open: Fleet[] = []
    afterEach(async () => {
      for (const fleet of open.splice(0)) await fleet.close()
    })
    async function startFleet() {
      const fleet = await openFleet(await openPlace())
      open.push(fleet)
      return fleet
    }

    test('10 cold machines, 50 handshakes each at once on one host: 1 account, 1 order, one serial', {
      timeout: 60_000,
    }, async () => {
      const fleet = await startFleet()
      const machines = await fleet.machines(10)
      const serials = (await Promise.all(machines.map(({ handshakes }) => handshakes(host, 50)))).flat()
      expect(serials).toHaveLength(500)
      expect(new Set(serials).size).toBe(1)
      expect(fleet.ca.counts).toMatchObject({ accounts: 1, orders: 1, certificates: 1 })
      expect(await fleet.keys()).toEqual([host, 'acme_account+key'])
    })

    test('a refused host: 5 machines, 200 handshakes each, at most 2 authorizations in 10 minutes', {
      timeout: 120_000,
    }, async () => {
      const fleet = await startFleet()
      fleet.ca.fault({ on: 'challenge', invalid: true, times: Number.POSITIVE_INFINITY })
      const machines = await fleet.machines(5)
      const storm = async () => {
        const all = machines.flatMap(({ attempt }) => Array.from({ length: 200 }, () => attempt(host)))
        expect(new Set(await Promise.all(all))).toEqual(new Set([undefined]))
      }
      await storm()
      expect(fleet.ca.ordersFor(host)).toBe(1)
      for (const seconds of [30, 40, 60, 120, 300]) {
        await fleet.jump(seconds * 1_000)
        await storm()
      }
      expect(fleet.ca.ordersFor(host)).toBe(2)
      for (const machine of machines) {
        const postponed = failures(machine, 'handshakeFailed').filter(
          ({ code }) => code === 'ERR_ISSUANCE_POSTPONED',
        )
        expect(postponed.length).toBeGreaterThan(0)
      }
    })

    test('a 429 with Retry-After: 86400 fails at once, is obeyed by all, and concerns no other host', {
      timeout: 60_000,
    }, async () => {
      const fleet = await startFleet()
      const machines = await fleet.machines(3)
      const fault = fleet.ca.fault({ on: 'newOrder', host, type: 'rateLimited', retryAfter: 86_400 })
      const started = performance.now()
      expect(await machines[0]?.attempt(host)).toBeUndefined()
      expect(performance.now() - started).toBeLessThan(2_000)
      expect(failures(machines[0] as Machine, 'issuanceFailed')).toMatchObject([
        { host, retryAt: expect.any(String) },
      ])
      await fleet.jump(23 * 3_600_000)
      for (const { attempt } of machines) expect(await attempt(host)).toBeUndefined()
      expect(fault.hits).toBe(1)
      const others = await Promise.all(machines.map(({ handshakes }) => handshakes('b.fleet.example', 5)))
      expect(new Set(others.flat()).size).toBe(1)
      await fleet.jump(3_600_000)
      const serials = await Promise.all(machines.map(({ handshakes }) => handshakes(host, 1)))
      expect(new Set(serials.flat()).size).toBe(1)
      expect(fleet.ca.ordersFor(host)).toBe(1)
    })
  })
}
