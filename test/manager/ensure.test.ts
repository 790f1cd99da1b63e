import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { RateLimiter } from '../../src/util/rate-limiter.js'
import { makeBundle } from '../support/certificates.js'
import { day, useManagers } from '../support/managers.js'
import { StillClock } from '../support/still-clock.js'
import { handshake } from '../support/tls.js'
import { VirtualClock } from '../support/virtual-clock.js'

const t = useManagers()
const minute = 60_000

test('hosts are renewed without traffic', async () => {
  const { manager, events } = await t.machine()
  await manager.ensure(['a.example', 'B.example.'])
  for (const renewals of [2, 4]) {
    t.clock.jump(63 * day)
    await expect.poll(() => events.renewed).toHaveLength(renewals)
  }
  expect(t.ca.counts.orders).toBe(6)
  expect(
    manager
      .status()
      .map(({ host }) => host)
      .sort(),
  ).toEqual(['a.example', 'b.example'])
})

test('hosts are renewed even if memory has no room for them', async () => {
  const { manager } = await t.machine({ memory: { max: 1 } })
  await manager.ensure(['a.example', 'b.example'])
  t.clock.jump(63 * day)
  await expect.poll(() => [t.ca.ordersFor('a.example'), t.ca.ordersFor('b.example')]).toEqual([2, 2])
})

test('ensure does not keep the process running', async () => {
  const script = fileURLToPath(new URL('../support/idle-process.js', import.meta.url))
  const { data } = await makeBundle({ host: 'a.example' })
  const env = { ...process.env, CERTIFICATE: Buffer.from(data).toString() }
  const { stdout } = await promisify(execFile)(process.execPath, [script], { env })
  expect(stdout).toBe('store')
})

test.each(['a.example', undefined, null, 5])('ensure(%j) rejects with a TypeError', async (hosts) => {
  const { manager } = await t.machine()
  await expect(manager.ensure(hosts as never)).rejects.toThrow(TypeError)
  await expect(manager.ensure(hosts as never)).rejects.toThrow(/^ensure: hosts must be/)
})

test('a host that failed is tried again at its retry time; an invalid name is not', async () => {
  const clock = new StillClock()
  const { manager, events } = await t.machine({ clock, hostPolicy: () => true })
  const fault = t.ca.fault({ on: 'newOrder', host: 'b.example', type: 'rejectedIdentifier', times: 2 })
  const failure = await manager.ensure(['a.example', 'b.example', '10.0.0.1']).catch((error) => error)
  expect(failure).toBeInstanceOf(AggregateError)
  expect(failure.errors.map(({ code }: { code: string }) => code)).toEqual([
    'ERR_HOST_NAME',
    'ERR_ISSUANCE_FAILED',
  ])
  clock.advance(59_000)
  // An order that began before this one would have reached the CA by now.
  await manager.getCertificate('c.example')
  expect(fault.hits).toBe(1)
  clock.advance(8_000)
  await expect.poll(() => fault.hits).toBe(2)
  await expect.poll(() => events.issuanceFailed).toHaveLength(2)
  clock.advance(11 * minute)
  const issued = () => events.issued?.map(({ host }) => host)
  await expect.poll(issued).toEqual(['a.example', 'c.example', 'b.example'])
})

test('a host that expired during a CA outage is issued within 2 minutes after the outage, despite 5 failures', async () => {
  const { manager, events } = await t.machine()
  await manager.ensure(['a.example'])
  const fault = t.ca.fault({ on: 'newOrder', type: 'malformed', times: Infinity })
  let failures = 0
  for (const days of [63, 2, 2, 21, 2.5]) {
    t.clock.jump(days * day)
    failures += 1
    await expect.poll(() => events.issuanceFailed).toHaveLength(failures)
  }
  expect(manager.status()[0]?.notAfter?.getTime()).toBeLessThan(t.clock.now())
  fault.remove()
  t.clock.jump(2 * minute)
  await once(manager, 'issued')
})

test('stored hosts do not wait for hosts that are queued for an order', async () => {
  const hosts = (name: string, count: number) =>
    Array.from({ length: count }, (_, i) => `${name}${i}.example`)
  const stored = hosts('stored', 20)
  await Promise.all(stored.map(async (host) => t.store.values.set(host, (await makeBundle({ host })).data)))
  const { manager, events } = await t.machine({ hostPolicy: () => true })
  t.ca.fault({ on: 'newOrder', hang: true, times: Infinity })
  const kept = manager.ensure([...hosts('new', 20), ...stored]).catch((error: Error) => error)
  await expect.poll(() => events.loaded).toHaveLength(20)
  await manager.close()
  expect(await kept).toBeInstanceOf(AggregateError)
})

test('after close, neither handshakes nor a running ensure access the store', async () => {
  const { manager, tlsPort } = await t.machine({ hostPolicy: () => true })
  await manager.getCertificate('a.example')
  const hosts = Array.from({ length: 200 }, (_, i) => `h${i}.example`)
  t.ca.fault({ on: 'newOrder', hang: true, times: Infinity })
  const kept = manager.ensure(hosts).catch((error: AggregateError) => error.errors)
  await expect.poll(() => t.store.operations.length).toBeGreaterThan(200)
  await manager.close()
  expect(await kept).toHaveLength(200)
  t.store.take()
  t.clock.jump(70 * day)
  await handshake(tlsPort, 'a.example')
  await handshake(tlsPort, 'a.example')
  expect(t.store.take()).toEqual([])
})

test('status() drops an error once a peer has stored a certificate', async () => {
  const { manager, events } = await t.machine()
  t.ca.fault({ on: 'newOrder', type: 'malformed' })
  await expect(manager.ensure(['a.example'])).rejects.toThrow(AggregateError)
  expect(manager.status()).toMatchObject([{ lastError: { code: 'ERR_ISSUANCE_FAILED' } }])
  t.store.values.set('a.example', (await makeBundle({ host: 'a.example' })).data)
  t.clock.jump(2 * minute)
  await expect.poll(() => events.loaded).toHaveLength(1)
  expect(manager.status()[0]).not.toHaveProperty('lastError')
})

test('a renewal that the policy no longer allows is not attempted every minute', async () => {
  let allowed = true
  const hostPolicy = (host: string) => allowed || host !== 'a.example'
  const { manager, events } = await t.machine({ hostPolicy })
  await manager.ensure(['a.example'])
  allowed = false
  t.clock.jump(63 * day)
  await expect.poll(() => events.renewalFailed).toHaveLength(1)
  t.clock.jump(30 * minute)
  // A renewal that began before this order would have failed by now.
  await manager.getCertificate('b.example')
  expect(events.renewalFailed).toHaveLength(1)
  expect(t.ca.ordersFor('a.example')).toBe(1)
})

test('background orders start 100 at once, then one every 54 s, so never more than 300 in 3 hours', () => {
  const clock = new VirtualClock()
  const rate = new RateLimiter(clock, 100, 54_000)
  const starts: number[] = []
  const end = clock.now() + 12 * 60 * minute
  while (clock.now() < end) {
    const ms = rate.tryAcquire()
    if (ms === 0) starts.push(clock.now())
    else clock.advance(ms)
  }
  expect(starts.filter((time) => time === starts[0])).toHaveLength(100)
  expect(starts.length).toBeGreaterThan(700)
  for (const [index, time] of starts.slice(300).entries()) {
    expect(time - starts[index]!).toBeGreaterThan(3 * 60 * minute)
  }
  clock.advance(2 * 60 * minute)
  rate.drain()
  expect(rate.tryAcquire()).toBe(54_000)
})

test('a clock that is set back delays an order by at most one interval', () => {
  const clock = new VirtualClock()
  const rate = new RateLimiter(clock, 2, 1_000)
  expect([rate.tryAcquire(), rate.tryAcquire(), rate.tryAcquire()]).toEqual([0, 0, 1_000])
  clock.advance(-30 * day)
  expect(rate.waitMs).toBe(1_000)
  clock.advance(1_000)
  expect(rate.tryAcquire()).toBe(0)
})
