import { beforeEach, describe, expect, test } from 'vitest'
import type { IssuanceError } from '../../src/index.js'
import { makeBundle } from '../support/certificates.js'
import { LockingStore } from '../support/locking-store.js'
import { day, refusal, useManagers } from '../support/managers.js'
import { ShiftingClock } from '../support/shifting-clock.js'
import { handshake } from '../support/tls.js'

const t = useManagers()
const hour = day / 24
const minute = hour / 60

beforeEach(() => {
  t.store = new LockingStore()
})

function wrongClock(ahead: number) {
  const clock = new ShiftingClock()
  clock.set(ahead)
  return clock
}

describe('a machine whose clock is wrong', () => {
  test('serves nothing if it is off by more than a certificate’s lifetime, and does not affect other machines', async () => {
    const bad = await t.machine({ clock: wrongClock(365 * day) })
    const told = {
      name: 'IssuanceError',
      code: 'ERR_ISSUANCE_FAILED',
      message: expect.stringMatching(/Correct the clock/),
    }
    await expect(bad.manager.getCertificate('a.example')).rejects.toMatchObject(told)
    await expect(bad.manager.getCertificate('a.example')).rejects.toMatchObject({
      code: 'ERR_ISSUANCE_POSTPONED',
    })
    expect(t.ca.counts.orders).toBe(1)
    expect(bad.events.issuanceFailed).toHaveLength(1)
    expect(t.store.values.has('a.example+failure')).toBe(false)
    const good = await t.machine()
    await good.manager.ensure(['a.example'])
  })

  test.each([
    ['30 minutes ahead', 30 * minute],
    ['365 days ahead', 365 * day],
    ['30 minutes behind', -30 * minute],
  ])('and is %s postpones the fleet, and is postponed, by as much as any other machine', async (_, ahead) => {
    const bad = await t.machine({ clock: wrongClock(ahead) })
    t.ca.fault({ on: 'newOrder', type: 'malformed' })
    await expect(bad.manager.getCertificate('a.example')).rejects.toThrow()
    const good = await t.machine()
    const postponed: unknown = await good.manager.getCertificate('a.example').catch((reason) => reason)
    expect(postponed).toMatchObject({ code: 'ERR_ISSUANCE_POSTPONED' })
    const waitMs = Number((postponed as IssuanceError).retryAt) - t.clock.now()
    expect(waitMs).toBeGreaterThan(55_000)
    expect(waitMs).toBeLessThan(70_000)
    const reader = await t.machine({ clock: wrongClock(ahead) })
    await expect(reader.manager.getCertificate('a.example')).rejects.toMatchObject({
      code: 'ERR_ISSUANCE_POSTPONED',
    })
    t.clock.jump(70_000)
    await good.manager.getCertificate('a.example')
  })

  test('does not place one order after another if it is off by most of a certificate’s lifetime', async () => {
    t.ca.lifetimeMs = 6 * day
    const clock = wrongClock(4.5 * day)
    const { manager } = await t.machine({ clock, hostPolicy: () => true })
    await manager.ensure(['a.example'])
    for (const host of ['b.example', 'c.example', 'd.example']) {
      clock.jump(20 * minute)
      // An order that began before this one would have reached the CA by now.
      await manager.getCertificate(host)
      expect(t.ca.ordersFor('a.example')).toBe(1)
    }
    t.clock.jump(1.5 * day)
    clock.jump(1.5 * day)
    await expect.poll(() => t.ca.ordersFor('a.example')).toBe(2)
  })

  test('does not keep other machines from requesting renewal info', async () => {
    const clock = wrongClock(50 * day)
    const bad = await t.machine({ clock })
    await bad.manager.getCertificate('a.example')
    clock.jump(7 * hour)
    await expect.poll(() => t.store.values.has('a.example+renewal')).toBe(true)
    await bad.manager.close()
    const good = await t.machine()
    const { serialNumber } = await good.manager.getCertificate('a.example')
    t.ca.suggestRenewal(serialNumber, { start: t.clock.now() - 2 * day, end: t.clock.now() - day })
    t.clock.jump(7 * hour)
    await expect.poll(() => good.events.renewed).toHaveLength(1)
  })
})

describe('a machine whose clock was ahead and has been corrected', () => {
  test('places orders again', async () => {
    const clock = wrongClock(365 * day)
    const { manager } = await t.machine({ clock })
    await expect(manager.getCertificate('a.example')).rejects.toThrow(/Correct the clock/)
    // A certificate that was ordered in vain postpones all orders of this machine.
    await expect(manager.getCertificate('b.example')).rejects.toMatchObject({
      code: 'ERR_ISSUANCE_POSTPONED',
      message: expect.stringContaining('on this machine only'),
    })
    clock.set(-365 * day)
    const certificateOf = async (host: string) => {
      // Monotonic time, of which an injected clock shows the library only a part.
      clock.jump(10_000)
      return manager.getCertificate(host).catch((reason: unknown) => reason)
    }
    for (const host of ['a.example', 'b.example'])
      await expect.poll(() => certificateOf(host)).toMatchObject({ host })
  })

  /** Starts a machine whose renewal failed while its clock was 85 days ahead. The clock is right again. */
  async function triedAhead() {
    const clock = new ShiftingClock()
    const machine = await t.machine({ clock })
    await machine.manager.getCertificate('a.example')
    clock.set(85 * day)
    await handshake(machine.tlsPort, 'a.example')
    await expect.poll(() => machine.events.renewalFailed).toHaveLength(1)
    clock.set(-85 * day)
    clock.jump(10 * minute)
    return { ...machine, clock }
  }

  test('compares its certificate with the store', async () => {
    const { tlsPort, events } = await triedAhead()
    const { data } = await makeBundle({ host: 'a.example', notBefore: new Date(Date.now() + 1_000) })
    t.store.values.set('a.example', data)
    await handshake(tlsPort, 'a.example')
    await expect.poll(() => events.adopted).toHaveLength(1)
  })

  test('renews its certificate when it is due', async () => {
    const { tlsPort, events, clock } = await triedAhead()
    for (const each of [t.clock, clock]) each.set(62 * day)
    const dueAt = clock.now()
    // The pause of about 1 minute after the failed attempt is monotonic time, of which an injected clock shows the
    // library only a part.
    const renewed = async () => {
      clock.jump(5_000)
      await handshake(tlsPort, 'a.example')
      return events.renewed
    }
    await expect.poll(renewed).toHaveLength(1)
    expect(clock.now()).toBeLessThan(dueAt + 2 * minute)
  })

  test('does not place one order after another if its clock is corrected by only 30 minutes', async () => {
    const clock = wrongClock(85 * day)
    const { manager, tlsPort } = await t.machine({ clock })
    await manager.getCertificate('a.example')
    clock.set(-30 * minute)
    for (let looks = 0; looks < 2; looks++) {
      clock.jump(10 * minute)
      await handshake(tlsPort, 'a.example')
    }
    // An order that began before this one would have reached the CA by now.
    await manager.getCertificate('b.example')
    expect(t.ca.ordersFor('a.example')).toBe(1)
  })

  test('does not postpone ensured hosts', async () => {
    const clock = wrongClock(8 * hour)
    t.store.before = () => Promise.reject(new Error('RequestTimeTooSkewed'))
    const { manager, events } = await t.machine({ clock })
    await expect(manager.ensure(['a.example'])).rejects.toThrow(/RequestTimeTooSkewed/)
    t.store.before = () => {}
    clock.set(-8 * hour)
    // The library notices the correction, from which monotonic time goes on.
    await expect(manager.getCertificate('a.example')).rejects.toThrow(/RequestTimeTooSkewed/)
    clock.jump(10 * minute)
    await expect.poll(() => events.issued).toHaveLength(1)
  })

  test('serves the default certificate again', async () => {
    const clock = new ShiftingClock()
    const { manager, tlsServer, tlsPort } = await t.machine({ clock, defaultHost: 'a.example' })
    await manager.ensure(['a.example'])
    manager.attach(tlsServer)
    const certificate = await handshake(tlsPort, undefined)
    clock.set(400 * day)
    clock.jump(10 * minute)
    await expect(handshake(tlsPort, undefined)).rejects.toMatchObject(refusal)
    clock.set(-400 * day)
    clock.jump(10 * minute)
    expect(await handshake(tlsPort, undefined)).toEqual(certificate)
  })
})
