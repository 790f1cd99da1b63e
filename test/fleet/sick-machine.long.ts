import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { ContainerSASPermissions } from '@azure/storage-blob'
import { describe, expect, onTestFinished, test } from 'vitest'
import { listen } from '../support/tls.js'
import { failures } from './cases.js'
import { type Fleet, openFleet, type Sickness } from './fleet.js'
import { azurePlace, dirPlace, type Place } from './places.js'

// A sick machine beside a healthy one, under the same traffic.

const hosts = Array.from({ length: 40 }, (_, index) => `h${index}.fleet.example`)
const day = 86_400_000

/** Starts a server that accepts connections and never answers. Returns its URL as that of a CA. */
async function openBlackHole(): Promise<string> {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => undefined)
  })
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return `https://127.0.0.1:${await listen(server)}/directory`
}

/** Opens idle connections, which use up the descriptors of a server. They close with the test. */
async function connectIdly(port: number, count: number): Promise<void> {
  for (let index = 0; index < count; index++) {
    const socket = connect(port, '127.0.0.1')
    socket.on('error', () => undefined)
    onTestFinished(() => void socket.destroy())
    await once(socket, 'connect')
  }
}

/** Starts a fleet that closes with the test. */
async function startFleet<P extends Place>(place: P) {
  const fleet = await openFleet(place)
  onTestFinished(() => fleet.close())
  return fleet
}

type Target = 'healthy' | 'sick'

/**
 * Sends handshakes for 40 new hosts to both machines at the same time, the first to the sick one. Expects the first
 * handshake of each host at the healthy machine to succeed, at most one order for each host, and at most 10 of the sick
 * machine. A handshake takes at most 30 s.
 * @param target the machine that the CA reaches for its validations
 */
async function expectNoHarm(fleet: Fleet, sickness: Sickness, target: Target, prepare?: Prepare) {
  const machines = { sick: await fleet.machine(sickness), healthy: await fleet.machine() }
  const { sick, healthy } = machines
  await prepare?.(sick.port)
  fleet.gate.target = machines[target].port
  let isServed = false
  const knock = async (host: string) => {
    while (!isServed) await sick.attempt(host)
  }
  const knocking = Promise.all(hosts.map(knock))
  const serials = await Promise.all(hosts.map((host) => healthy.attempt(host)))
  isServed = true
  await knocking
  const unserved = hosts.filter((_, index) => serials[index] === undefined)
  expect({ unserved, reasons: failures(healthy, 'handshakeFailed') }).toEqual({ unserved: [], reasons: [] })
  for (const host of hosts) expect([host, fleet.ca.ordersFor(host)]).toEqual([host, 1])
  const ordered = (machine: typeof sick) => failures(machine, 'issued').length
  expect(ordered(sick)).toBeLessThanOrEqual(10)
  expect(ordered(sick) + ordered(healthy)).toBe(hosts.length)
  expect(failures(sick, 'issuanceFailed').length + failures(sick, 'handshakeFailed').length).toBeGreaterThan(
    0,
  )
  const keys = await fleet.keys()
  expect(keys.filter((key) => key.endsWith('+failure'))).toEqual([])
  return machines
}
type Prepare = (port: number) => Promise<void>

const refusedUrl = 'https://127.0.0.1:1/directory'

describe('on Azure, every host is served by a healthy machine beside one', () => {
  test.each(['healthy', 'sick'] as const)(
    'whose connections to the CA are refused (the CA reaches the %s one)',
    async (target) => {
      await expectNoHarm(await startFleet(await azurePlace()), { directoryUrl: refusedUrl }, target)
    },
  )

  test('whose connections to the CA are never answered', async () => {
    const directoryUrl = await openBlackHole()
    await expectNoHarm(await startFleet(await azurePlace()), { directoryUrl }, 'healthy')
  })

  test('whose clock is 60 days ahead (the CA reaches the sick one)', async () => {
    await expectNoHarm(await startFleet(await azurePlace()), { clockAheadMs: 60 * day }, 'sick')
  })

  test('that may use 200 descriptors, of which clients hold 178', async () => {
    const prepare: Prepare = (port) => connectIdly(port, 178)
    await expectNoHarm(await startFleet(await azurePlace()), { descriptors: 200 }, 'healthy', prepare)
  })

  test.each(['healthy', 'sick'] as const)(
    'that may only read (the CA reaches the %s one)',
    async (target) => {
      const place = await azurePlace()
      const { container } = place
      const permissions = ContainerSASPermissions.parse('r')
      const endpoint = await container.generateSasUrl({ permissions, expiresOn: new Date(Date.now() + day) })
      const store = { kind: 'azure', connect: { endpoint, containerName: container.containerName } } as const
      await expectNoHarm(await startFleet(place), { store }, target)
    },
  )
})

describe('in a folder, every host is served by a healthy machine beside one', () => {
  test.each<[string, Sickness]>([
    ['whose connections to the CA are refused', { directoryUrl: refusedUrl }],
    ['whose clock is 60 days ahead', { clockAheadMs: 60 * day }],
  ])('%s', async (_, sickness) => {
    await expectNoHarm(await startFleet(await dirPlace()), sickness, 'healthy')
  })
})
