import { afterEach, describe, expect, test } from 'vitest'
import { type Fleet, type Machine, openFleet } from './fleet.js'
import type { OpenPlace } from './places.js'

const host = 'a.fleet.example'

export const failures = ({ events }: Pick<Machine, 'events'>, name: string) =>
  events.filter((event) => event.name === name)

/** Returns a function that starts a fleet, which closes with the test. */
function fleetsOf(openPlace: OpenPlace) {
  const open: Fleet[] = []
  afterEach(async () => {
    for (const fleet of open.splice(0)) await fleet.close()
  })
  return async () => {
    const fleet = await openFleet(await openPlace())
    open.push(fleet)
    return fleet
  }
}

/** Registers the case of cold machines whose first handshakes for one host are concurrent. */
export function coldStartCase(
  storeName: string,
  openPlace: OpenPlace,
  { machines: machineCount, handshakes: handshakeCount }: { machines: number; handshakes: number },
) {
  describe(`a fleet on ${storeName}`, () => {
    const startFleet = fleetsOf(openPlace)

    test(`${machineCount} cold machines with ${handshakeCount} concurrent handshakes each on one host: 1 account, 1 order, 1 serial`, async () => {
      const fleet = await startFleet()
      const machines = await fleet.machines(machineCount)
      const serials = (
        await Promise.all(machines.map(({ handshakes }) => handshakes(host, handshakeCount)))
      ).flat()
      expect(serials).toHaveLength(machineCount * handshakeCount)
      expect(new Set(serials).size).toBe(1)
      expect(fleet.ca.counts).toMatchObject({ accounts: 1, orders: 1, certificates: 1 })
      expect(await fleet.keys()).toEqual([host, 'acme_account+key', 'acme_probe'])
    })
  })
}

/** Registers the cases of a fleet on any store. */
export function fleetCases(storeName: string, openPlace: OpenPlace) {
  coldStartCase(storeName, openPlace, { machines: 10, handshakes: 20 })

  describe(`a fleet on ${storeName}`, () => {
    const startFleet = fleetsOf(openPlace)

    test('a host that fails validation causes at most 2 orders in 10 minutes: 5 machines, 200 handshakes each', async () => {
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

    test('a 429 with Retry-After: 86400 fails the order, postpones it on all machines, and affects no other host', async () => {
      const fleet = await startFleet()
      const machines = await fleet.machines(3)
      const fault = fleet.ca.fault({ on: 'newOrder', host, type: 'rateLimited', retryAfter: 86_400 })
      const [first] = machines as [Machine]
      expect(await first.attempt(host)).toBeUndefined()
      // The order failed; the handshake did not merely time out.
      const failure = { host, code: 'ERR_ISSUANCE_FAILED', retryAt: expect.any(String) }
      await expect.poll(() => failures(first, 'issuanceFailed')).toMatchObject([failure])
      expect(failures(first, 'handshakeFailed')).toMatchObject([{ host, code: 'ERR_ISSUANCE_FAILED' }])
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
