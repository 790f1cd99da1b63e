import { once } from 'node:events'
import { expect, test } from 'vitest'
import { Pace } from '../../src/pace.js'
import { day, useManagers } from '../support/managers.js'
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

test('hosts are kept though memory has no room for them', async () => {
  const { manager } = await t.machine({ memory: { max: 1 } })
  await manager.ensure(['a.example', 'b.example'])
  t.clock.jump(63 * day)
  await expect.poll(() => [t.ca.ordersFor('a.example'), t.ca.ordersFor('b.example')]).toEqual([2, 2])
})

test('a host that could not be had is tried again when it is time to, and one that is no host name is not', async () => {
  const { manager, events } = await t.machine()
  const fault = t.ca.fault({ on: 'newOrder', host: 'b.example', type: 'rejectedIdentifier', times: 2 })
  const failure = await manager.ensure(['a.example', 'b.example', '10.0.0.1']).catch((error) => error)
  expect(failure).toBeInstanceOf(AggregateError)
  expect(failure.errors.map(({ code }: { code: string }) => code)).toEqual([
    'ERR_HOST_NAME',
    'ERR_ISSUANCE_FAILED',
  ])
  t.clock.jump(50_000)
  expect(fault.hits).toBe(1)
  t.clock.jump(17_000)
  await expect.poll(() => fault.hits).toBe(2)
  await expect.poll(() => events.issuanceFailed).toHaveLength(2)
  t.clock.jump(11 * minute)
  await expect.poll(() => events.issued?.map(({ host }) => host)).toEqual(['a.example', 'b.example'])
})

test('a host that expired while the CA was down gets a certificate as soon as it is back', async () => {
  const { manager, events } = await t.machine()
  await manager.ensure(['a.example'])
  const fault = t.ca.fault({ on: 'newOrder', type: 'serverInternal', times: Infinity })
  t.clock.jump(91 * day)
  await expect.poll(() => fault.hits).toBe(1)
  await expect.poll(() => events.issuanceFailed).toHaveLength(1)
  fault.remove()
  t.clock.jump(2 * minute)
  await once(manager, 'issued')
})

test('a host that the policy does not allow any more is let go', async () => {
  let allowed = true
  const { manager, events } = await t.machine({ hostPolicy: () => allowed })
  await manager.ensure(['a.example'])
  allowed = false
  t.clock.jump(63 * day)
  await expect.poll(() => events.renewalFailed).toHaveLength(1)
  t.clock.jump(30 * minute)
  expect(events.renewalFailed).toHaveLength(1)
  expect(t.ca.counts.orders).toBe(1)
})

test('orders that nobody waits for: 100 at once, then one each 54 s, so never more than 300 in 3 hours', () => {
  const clock = new VirtualClock()
  const pace = new Pace(clock, 100, 54_000)
  const starts: number[] = []
  const end = clock.now() + 12 * 60 * minute
  while (clock.now() < end) {
    const ms = pace.take()
    if (ms === 0) starts.push(clock.now())
    else clock.advance(ms)
  }
  expect(starts.filter((time) => time === starts[0])).toHaveLength(100)
  expect(starts.length).toBeGreaterThan(700)
  for (const [index, time] of starts.slice(300).entries()) {
    expect(time - starts[index]!).toBeGreaterThan(3 * 60 * minute)
  }
  clock.advance(2 * 60 * minute)
  pace.exhaust()
  expect(pace.take()).toBe(54_000)
})
