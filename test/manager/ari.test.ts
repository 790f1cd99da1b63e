import { once } from 'node:events'
import { beforeEach, describe, expect, test } from 'vitest'
import { certificateId } from '../../src/acme/renewal-info.js'
import { LockingStore } from '../support/locking-store.js'
import { day, impatient, useManagers } from '../support/managers.js'
import { handshake } from '../support/tls.js'

const t = useManagers()
const hour = day / 24

let store: LockingStore
beforeEach(() => {
  store = new LockingStore()
  t.store = store
})

/** Starts a machine that serves a certificate for a.example. */
async function served() {
  // A machine that finds another one requesting renewal info retries at once.
  const machine = await t.machine({ clock: impatient(t.clock) })
  const { serialNumber } = await machine.manager.getCertificate('a.example')
  const status = () => machine.manager.status()[0]!
  const asked = async () => expect.poll(() => status().renewAtSource).toBe('ari')
  return { ...machine, serialNumber, status, asked }
}

describe('the CA’s suggested renewal window', () => {
  test('is requested without traffic, shown in status(), and honoured by an order with `replaces`', async () => {
    const { manager, serialNumber, status, asked } = await served()
    const data = t.store.values.get('a.example')!
    const [start, end] = [t.clock.now() + 10 * day, t.clock.now() + 11 * day]
    t.ca.suggestRenewal(serialNumber, { start, end })
    expect(status().renewAtSource).toBe('lifetime')
    t.clock.jump(7 * hour)
    await asked()
    expect(status().renewAt?.getTime()).toBeGreaterThanOrEqual(start)
    expect(status().renewAt?.getTime()).toBeLessThanOrEqual(end)
    const renewed = once(manager, 'renewed')
    t.clock.jump(11 * day)
    await renewed
    expect(t.ca.orders.map(({ replaces }) => replaces)).toEqual([undefined, await certificateId(data)])
    expect(status().renewAtSource).toBe('lifetime')
  })

  test('leads to a renewal at once if it is in the past', async () => {
    const { manager, serialNumber } = await served()
    t.ca.suggestRenewal(serialNumber, { start: t.clock.now() - 2 * day, end: t.clock.now() - day })
    const renewed = once(manager, 'renewed')
    t.clock.jump(7 * hour)
    await renewed
    expect(manager.status()[0]!.notAfter?.getTime()).toBeGreaterThan(t.clock.now() + 89 * day)
  })

  test('leads to at most one order in 5 hours if it is in the past for every new certificate', async () => {
    const { manager, tlsPort, serialNumber } = await served()
    const revoke = (serial: string) => t.ca.suggestRenewal(serial, { start: 1, end: 2 })
    revoke(serialNumber)
    manager.on('renewed', (renewed) => revoke(renewed.serialNumber))
    for (let i = 0; i < 24; i++) {
      t.clock.set(hour)
      await handshake(tlsPort, 'a.example')
      // The work that the handshake started ends before the next hour.
      await expect.poll(() => store.held('a.example') || store.held('a.example+renewal')).toBe(false)
    }
    await expect.poll(() => t.ca.counts.orders).toBeGreaterThan(2)
    expect(t.ca.counts.orders).toBeLessThanOrEqual(1 + 24 / 5)
  })

  test('is requested by one machine for the whole fleet, at the interval that Retry-After sets', async () => {
    t.ca.renewalRetryAfter = 2 * 3_600
    const machines = [await served(), await served(), await served()]
    t.clock.set(7 * hour)
    const everywhere = async () => {
      await Promise.all(machines.map(({ tlsPort }) => handshake(tlsPort, 'a.example')))
      for (const { asked } of machines) await asked()
    }
    await everywhere()
    expect(t.ca.counts.renewalInfos).toBe(1)
    const [first] = machines
    const checks = async () => {
      t.store.take()
      await handshake(first!.tlsPort, 'a.example')
      await expect.poll(() => t.store.operations).toContain('get a.example+renewal')
    }
    t.clock.set(1.3 * hour)
    await checks()
    expect(t.ca.counts.renewalInfos).toBe(1)
    t.clock.set(1.3 * hour)
    await checks()
    await expect.poll(() => t.ca.counts.renewalInfos).toBe(2)
  })

  test('is honoured by a machine that starts after two thirds of the lifetime and before the window', async () => {
    const one = await served()
    const [start, end] = [t.clock.now() + 75 * day, t.clock.now() + 76 * day]
    t.ca.suggestRenewal(one.serialNumber, { start, end })
    t.clock.jump(7 * hour)
    await one.asked()
    await one.manager.close()
    t.clock.jump(65 * day)
    const two = await t.machine()
    await handshake(two.tlsPort, 'a.example')
    await handshake(two.tlsPort, 'a.example')
    await expect.poll(() => two.manager.status()[0]?.renewAtSource).toBe('ari')
    expect(two.manager.status()[0]?.renewAt?.getTime()).toBeGreaterThanOrEqual(start)
    await two.manager.ensure(['a.example'])
    expect(t.ca.counts.orders).toBe(1)
    const renewed = once(two.manager, 'renewed')
    t.clock.jump(11 * day)
    await renewed
  })

  test('applies to ensured hosts that memory has no room for', async () => {
    const { manager } = await t.machine({ memory: { max: 1 } })
    await manager.ensure(['a.example', 'b.example'])
    for (const { serialNumber } of t.ca.issued)
      t.ca.suggestRenewal(serialNumber, { start: t.clock.now() - 2 * day, end: t.clock.now() - day })
    t.clock.jump(6.5 * hour)
    await expect.poll(() => [t.ca.ordersFor('a.example'), t.ca.ordersFor('b.example')]).toEqual([2, 2])
  })

  test('falls back to two thirds of the lifetime if the request fails, which is repeated after Retry-After', async () => {
    const fault = t.ca.fault({
      on: 'renewalInfo',
      type: 'serverInternal',
      times: Infinity,
      retryAfter: 3 * 3_600,
    })
    const { manager, tlsPort, status } = await served()
    const check = async (hours: number) => {
      t.clock.set(hours * hour)
      t.store.take()
      await handshake(tlsPort, 'a.example')
      await expect.poll(() => t.store.operations).toContain('get a.example+renewal')
      await expect.poll(() => store.held('a.example+renewal')).toBe(false)
    }
    await check(7)
    await expect.poll(() => fault.hits).toBe(1)
    await expect.poll(() => t.store.values.has('a.example+renewal')).toBe(true)
    await check(1.5)
    expect(fault.hits).toBe(1)
    await check(2)
    await expect.poll(() => fault.hits).toBe(2)
    expect(status().renewAtSource).toBe('lifetime')
    const renewed = once(manager, 'renewed')
    t.clock.jump(62 * day)
    await renewed
  })

  test('still applies when a later request fails', async () => {
    const { tlsPort, asked, status, serialNumber } = await served()
    t.ca.suggestRenewal(serialNumber, { start: t.clock.now() + 10 * day, end: t.clock.now() + 11 * day })
    t.clock.jump(7 * hour)
    await asked()
    const { renewAt } = status()
    const fault = t.ca.fault({ on: 'renewalInfo', body: '<html>', status: 503, times: Infinity })
    t.clock.set(7 * hour)
    await handshake(tlsPort, 'a.example')
    await expect.poll(() => fault.hits).toBe(1)
    await expect.poll(() => store.held('a.example+renewal')).toBe(false)
    expect(status()).toMatchObject({ renewAtSource: 'ari', renewAt })
  })

  test('is not requested from a CA without ARI, and the renewal does not wait for it', async () => {
    t.ca.renewalInfo = false
    const { manager, status } = await served()
    t.clock.jump(7 * hour)
    await expect.poll(() => t.store.values.has('a.example+renewal')).toBe(true)
    expect(status().renewAtSource).toBe('lifetime')
    const renewed = once(manager, 'renewed')
    t.clock.jump(62 * day)
    await renewed
    expect(t.ca.orders[1]!.replaces).toBeUndefined()
    expect(t.ca.counts.renewalInfos).toBe(0)
  })
})

describe('a CA that refuses an order with `replaces`', () => {
  test.each(['alreadyReplaced', 'unauthorized', 'malformed'])(
    '%s: the order is placed once more, without `replaces`',
    async (type) => {
      const { manager } = await served()
      const fault = t.ca.fault({ on: 'newOrder', type })
      const renewed = once(manager, 'renewed')
      t.clock.jump(63 * day)
      await renewed
      expect(fault.hits).toBe(1)
      expect(t.ca.orders.map(({ replaces }) => replaces)).toEqual([undefined, undefined])
    },
  )

  test.each(['rateLimited', 'accountDoesNotExist'])('%s: the order is not placed again', async (type) => {
    const { manager } = await served()
    const fault = t.ca.fault({ on: 'newOrder', type, times: 2 })
    const failed = once(manager, 'renewalFailed')
    t.clock.jump(63 * day)
    await failed
    expect(fault.hits).toBe(1)
  })
})
