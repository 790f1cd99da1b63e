import { afterEach, expect, test } from 'vitest'
import { type Fleet, type Machine, openFleet } from './fleet.js'

const host = 'a.fleet.example'
const open: Fleet[] = []
afterEach(async () => {
  for (const fleet of open.splice(0)) await fleet.close()
})
async function startFleet(...options: Parameters<typeof openFleet>) {
  const fleet = await openFleet(...options)
  open.push(fleet)
  return fleet
}

const failures = ({ events }: Machine, name: string) => events.filter((event) => event.name === name)
const requestsFor = ({ tap }: Machine, pattern: RegExp) =>
  tap.requests.filter((request) => pattern.test(request))

test('10 cold machines, 50 handshakes each at once on one host: 1 account, 1 order, one serial', {
  timeout: 60_000,
}, async () => {
  const fleet = await startFleet()
  const machines = await fleet.machines(10)
  const serials = (await Promise.all(machines.map(({ handshakes }) => handshakes(host, 50)))).flat()
  expect(serials).toHaveLength(500)
  expect(new Set(serials).size).toBe(1)
  expect(fleet.ca.counts).toMatchObject({ accounts: 1, orders: 1, certificates: 1 })
  expect(await fleet.blobs()).toEqual([host, 'acme_account+key'])
})

test('the same on 20 hosts: 20 orders', { timeout: 120_000 }, async () => {
  const fleet = await startFleet()
  const machines = await fleet.machines(10)
  const hosts = Array.from({ length: 20 }, (_, i) => `h${i}.fleet.example`)
  // Two at a time: 1,000 handshakes at once are as many as this process can make before its own time-outs.
  for (let i = 0; i < hosts.length; i += 2) {
    const pair = hosts.slice(i, i + 2)
    const all = await Promise.all(
      pair.flatMap((name) => machines.map(({ handshakes }) => handshakes(name, 50))),
    )
    expect(new Set(all.flat()).size).toBe(2)
  }
  expect(fleet.ca.counts).toMatchObject({ accounts: 1, orders: 20, certificates: 20 })
  expect(await fleet.blobs()).toEqual(['acme_account+key', ...hosts].sort())
})

test('the lock costs the winner no more than 6 requests, and a waiter 1 a second', {
  timeout: 60_000,
}, async () => {
  const fleet = await startFleet({ validationDelayMs: 5_000 })
  const winner = await fleet.machine()
  // The account is made once; what follows is the cost of an order.
  fleet.ca.validationDelayMs = 0
  await winner.handshakes('first.fleet.example', 1)
  fleet.ca.validationDelayMs = 5_000
  const waiter = await fleet.machine()
  winner.tap.take()
  waiter.tap.take()
  const ordered = winner.handshakes(host, 1)
  await expect.poll(() => requestsFor(winner, /\+token$/).length).toBe(1)
  const started = performance.now()
  const waiting = waiter.handshakes(host, 1)
  await expect.poll(() => requestsFor(winner, /^DELETE .*\+lock$/).length, { timeout: 10_000 }).toBe(1)
  const seconds = (performance.now() - started) / 1_000
  // The first look is no poll; nor is the CA's look for the answer, which the waiter gives.
  const polls = requestsFor(waiter, new RegExp(`/${host}(\\+lock)?$`)).length - 1
  expect(polls).toBeGreaterThan(2)
  expect(polls).toBeLessThanOrEqual(seconds + 1)
  await Promise.all([ordered, waiting])
  expect(fleet.ca.ordersFor(host)).toBe(1)
  // Without the fleet: read, read the failure record, put and remove the answer, put the certificate.
  expect(winner.tap.requests.length - 5).toBeLessThanOrEqual(6)
})

test('a left-over lock, one in another format, and a half-written failure record keep nobody out', async () => {
  const fleet = await startFleet()
  const leftovers = [
    [`${host}+lock`, ''],
    ['b.fleet.example+lock', '{"holder": "another program"}'],
    ['c.fleet.example+failure', '{"failures": 3, "retr'],
    ['acme_account+key+lock', 'x'],
  ] as const
  for (const [name, content] of leftovers) {
    await fleet.container.getBlockBlobClient(name).upload(content, content.length)
  }
  const machine = await fleet.machine()
  for (const name of [host, 'b.fleet.example', 'c.fleet.example']) await machine.handshakes(name, 1)
  expect(fleet.ca.counts).toMatchObject({ accounts: 1, orders: 3, certificates: 3 })
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
    expect(failures(machine, 'handshakeFailed').some(({ code }) => code === 'ERR_ISSUANCE_POSTPONED')).toBe(
      true,
    )
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

test('the winner’s put fails: its callers are served, it repeats it, and nobody else orders meanwhile', {
  timeout: 60_000,
}, async () => {
  const fleet = await startFleet()
  const [winner, other] = (await fleet.machines(2)) as [Machine, Machine]
  let refused = 0
  let full = true
  winner.tap.fault((method, path) => {
    if (!full || method !== 'PUT' || !path.endsWith(`/${host}`)) return undefined
    refused += 1
    return { status: 403, code: 'AuthorizationFailure' }
  })
  const [serial] = await winner.handshakes(host, 1)
  const waiting = other.handshakes(host, 3)
  await expect.poll(() => refused, { timeout: 20_000 }).toBeGreaterThan(3)
  expect(fleet.ca.counts.orders).toBe(1)
  full = false
  expect(new Set(await waiting)).toEqual(new Set([serial]))
  expect(fleet.ca.counts.orders).toBe(1)
  await expect.poll(() => fleet.blobs()).toEqual([host, 'acme_account+key'])
})
