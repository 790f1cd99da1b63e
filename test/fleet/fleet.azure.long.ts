import { afterEach, expect, test } from 'vitest'
import type { TestCaOptions } from '../../src/testing/index.js'
import { failures, fleetCases } from './cases.js'
import { type Fleet, openFleet } from './fleet.js'
import { azurePlace } from './places.js'

// Long enough for a busy machine: a store that times out is tested elsewhere.
const openPlace = () => azurePlace(60_000)

fleetCases('Azure Blob Storage', openPlace)

const host = 'a.fleet.example'
const open: Pick<Fleet, 'close'>[] = []
afterEach(async () => {
  for (const fleet of open.splice(0)) await fleet.close()
})

async function startFleet(options?: TestCaOptions) {
  const place = await openPlace()
  const fleet = await openFleet(place, options)
  open.push(fleet)
  const blobs = async () => {
    const names: string[] = []
    for await (const { name } of place.container.listBlobsFlat()) names.push(name)
    return names.sort()
  }
  return { ...fleet, blobs }
}
type AzureMachine = Awaited<ReturnType<Awaited<ReturnType<typeof startFleet>>['machine']>>

const requestsFor = ({ way: { tap } }: AzureMachine, pattern: RegExp) =>
  tap.requests.filter((request) => pattern.test(request))

test('10 cold machines with 20 handshakes each on 20 hosts place 20 orders and leave no lock', async () => {
  const fleet = await startFleet()
  const machines = await fleet.machines(10)
  const hosts = Array.from({ length: 20 }, (_, i) => `h${i}.fleet.example`)
  // Two hosts at a time, since a slow machine can make only 400 concurrent handshakes before its time-outs.
  for (let i = 0; i < hosts.length; i += 2) {
    const pair = hosts.slice(i, i + 2)
    const all = await Promise.all(
      pair.flatMap((name) => machines.map(({ handshakes }) => handshakes(name, 20))),
    )
    expect(new Set(all.flat()).size).toBe(2)
  }
  expect(fleet.ca.counts).toMatchObject({ accounts: 1, orders: 20, certificates: 20 })
  expect(await fleet.blobs()).toEqual(['acme_account+key', 'acme_probe', ...hosts].sort())
})

test('3 machines place one order on a store that takes 0.4 to 1 s for each response', async () => {
  const fleet = await startFleet()
  const machines = await fleet.machines(3)
  for (const [index, { way }] of machines.entries()) way.tap.slow(400 + 300 * index)
  const serials = await Promise.all(machines.map(({ handshakes }) => handshakes(host, 20)))
  expect(new Set(serials.flat()).size).toBe(1)
  expect(fleet.ca.counts).toMatchObject({ accounts: 1, orders: 1, certificates: 1 })
  expect(await fleet.blobs()).toEqual([host, 'acme_account+key', 'acme_probe'])
})

test('the lock costs its holder at most 6 requests, and a waiting machine 1 request per second', async () => {
  const fleet = await startFleet({ validationDelayMs: 5_000 })
  const winner = await fleet.machine()
  // Creates the account first, so that only the requests of an order are counted.
  fleet.ca.validationDelayMs = 0
  await winner.handshakes('first.fleet.example', 1)
  fleet.ca.validationDelayMs = 5_000
  const waiter = await fleet.machine()
  winner.way.tap.take()
  waiter.way.tap.take()
  const ordered = winner.handshakes(host, 1)
  await expect.poll(() => requestsFor(winner, /\+token$/).length).toBe(1)
  const started = performance.now()
  const waiting = waiter.handshakes(host, 1)
  await expect.poll(() => requestsFor(winner, /^DELETE .*\+lock$/).length).toBe(1)
  const seconds = (performance.now() - started) / 1_000
  // Neither the first read nor the read for the CA's validation, which the waiter answers, is a poll.
  const polls = requestsFor(waiter, new RegExp(`/${host}(\\+lock)?$`)).length - 1
  expect(polls).toBeGreaterThan(2)
  expect(polls).toBeLessThanOrEqual(seconds + 1)
  await Promise.all([ordered, waiting])
  expect(fleet.ca.ordersFor(host)).toBe(1)
  // An order without a lock: read, read the failure record, prove a write, put and remove the answer, put the certificate.
  expect(winner.way.tap.requests.length - 6).toBeLessThanOrEqual(6)
})

test('a machine whose put fails serves its callers and retries the put, and no other machine places an order', async () => {
  const fleet = await startFleet()
  const [winner, other] = (await fleet.machines(2)) as [AzureMachine, AzureMachine]
  let refused = 0
  let full = true
  winner.way.tap.fault((method, path) => {
    if (!full || method !== 'PUT' || !path.endsWith(`/${host}`)) return undefined
    refused += 1
    return { status: 403, code: 'AuthorizationFailure' }
  })
  const [serial] = await winner.handshakes(host, 1)
  const waiting = other.handshakes(host, 3)
  await expect.poll(() => refused).toBeGreaterThan(3)
  expect(failures(winner, 'storeFailed').length).toBeGreaterThan(0)
  expect(fleet.ca.counts.orders).toBe(1)
  full = false
  expect(new Set(await waiting)).toEqual(new Set([serial]))
  expect(fleet.ca.counts.orders).toBe(1)
  await expect.poll(() => fleet.blobs()).toEqual([host, 'acme_account+key', 'acme_probe'])
})
