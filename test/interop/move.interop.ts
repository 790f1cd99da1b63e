import { expect, test } from 'vitest'
import { handshake } from '../support/tls.js'
import { openSite } from './site.js'

const count = 1_000
const atOnce = 16

test('a Node fleet serves every certificate from a container of 1,000 made by Go, with 0 orders', async () => {
  await using site = await openSite({ challengeTypes: ['tls-alpn-01'] })
  const go = await site.go.issue(count, 'moved.example')
  site.validateAt(go)
  go.begin()
  await go.ended
  const serials = new Map(site.ca.issued.map(({ hosts, serialNumber }) => [hosts[0]!, serialNumber]))
  expect(serials.size).toBe(count)
  const before = site.ca.counts

  const fleet = [await site.node(), await site.node()]
  const served = new Map<string, string>()
  const hosts = [...serials.keys()]
  const visit = async (worker: number) => {
    for (let host = hosts.pop(); host !== undefined; host = hosts.pop()) {
      const options = { ca: site.ca.rootCertificate, rejectUnauthorized: true }
      const { serialNumber } = await handshake(fleet[worker % fleet.length]!.tlsPort, host, options)
      served.set(host, serialNumber)
    }
  }
  await Promise.all(Array.from({ length: atOnce }, (_, worker) => visit(worker)))
  expect([...served].sort()).toEqual([...serials].sort())
  const { orders, accounts, certificates } = before
  expect(site.ca.counts).toMatchObject({ orders, accounts, certificates })
  expect(orders).toBe(count)
  for (const { events } of fleet) expect(new Set(events)).toEqual(new Set(['loaded']))
}, 300_000)
