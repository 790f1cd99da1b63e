import { X509Certificate } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import { expect, onTestFinished, test } from 'vitest'
import { handshake } from '../support/tls.js'
import { type Machine, openFleet } from './fleet.js'
import { azurePlace } from './places.js'

const host = 'a.fleet.example'
const lifetimeMs = 40_000

test('three servers under load for three lifetimes of 40 s fail no handshake and place one order per renewal', {
  timeout: 240_000,
}, async () => {
  const fleet = await openFleet(await azurePlace(20_000), { lifetimeMs })
  onTestFinished(() => fleet.close())
  const machines = await fleet.machines(3)
  const end = Date.now() + 3 * lifetimeMs
  const ca = fleet.ca.rootCertificate

  /** Makes handshakes in sequence, which reject an expired certificate; returns the distinct serial numbers in order. */
  async function traffic({ port }: Machine): Promise<{ serials: string[]; count: number }> {
    const serials: string[] = []
    for (let count = 0; ; count++) {
      const { serialNumber } = await handshake(port, host, { ca, rejectUnauthorized: true })
      if (serials.at(-1) !== serialNumber) serials.push(serialNumber)
      if (Date.now() >= end) return { serials, count }
      await pause(20) // a rate, not a wait for something
    }
  }
  const seen = await Promise.all(machines.map(traffic))

  const issued = fleet.ca.issued.map(({ pem }) => new X509Certificate(pem))
  expect(fleet.ca.counts).toMatchObject({ accounts: 1, orders: issued.length, certificates: issued.length })
  // 120 s are four and a half times two thirds of 40 s.
  expect(issued.length).toBeGreaterThanOrEqual(4)
  expect(issued.length).toBeLessThanOrEqual(6)
  const starts = issued.map(({ validFrom }) => Date.parse(validFrom))
  for (const [index, start] of starts.slice(1).entries()) {
    expect(start - starts[index]!).toBeGreaterThanOrEqual((lifetimeMs * 2) / 3 - 1_000)
  }
  for (const { serials, count } of seen) {
    expect(count).toBeGreaterThan(serials.length)
    // The last certificate may not have reached this machine yet.
    expect(issued.map(({ serialNumber }) => serialNumber).slice(0, serials.length)).toEqual(serials)
    expect(serials.length).toBeGreaterThanOrEqual(issued.length - 1)
  }
  const replaces = fleet.ca.orders.map((order) => order.replaces)
  expect(replaces.filter((id) => id === undefined)).toHaveLength(1)
})
