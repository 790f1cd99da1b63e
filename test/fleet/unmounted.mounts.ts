// A server whose folder vanishes, or whose disk is full: it serves what it has in memory, and orders nothing.
import { readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { DirCertCache } from '../../src/index.js'
import { openMount } from '../support/mounts.js'
import { failures } from './cases.js'
import { openFleet } from './fleet.js'

const nobody = 65_534
const day = 86_400_000
const hostsOf = (prefix: string) =>
  Array.from({ length: 20 }, (_, index) => `${prefix}${index}.fleet.example`)
const [stored, others] = [hostsOf('stored'), hostsOf('other')]

/** Starts a server that has ordered the stored hosts. */
async function setUp() {
  const mount = await openMount({ size: '2m' })
  const fleet = await openFleet({
    store: new DirCertCache(mount.source),
    way: async () => ({ settings: { kind: 'dir', path: mount.path }, close: async () => {} }),
    close: mount.close,
  })
  onTestFinished(() => fleet.close())
  const machine = await fleet.machine()
  const serve = async (hosts: string[]) =>
    (await Promise.all(hosts.map((host) => machine.handshakes(host, 1)))).flat()
  const serials = await serve(stored)
  expect(fleet.ca.counts.orders).toBe(stored.length)
  /** Tries hosts that are not stored, until each pause for a failure has ended. */
  const expectNoOrder = async () => {
    for (let round = 0; round < 3; round++) {
      const outcomes = await Promise.all(others.map((host) => machine.attempt(host)))
      expect(outcomes).toEqual(others.map(() => undefined))
      await fleet.jump(60_000)
    }
    expect(await serve(stored)).toEqual(serials)
    expect(fleet.ca.counts.orders).toBe(stored.length)
  }
  const expectRecovery = async () => {
    await fleet.jump(60_000)
    // The first one closes the circuit breakers.
    for (const hosts of [others.slice(0, 1), others]) await serve(hosts)
    expect(fleet.ca.counts.orders).toBe(stored.length + others.length)
    expect(await fleet.keys()).toEqual([...stored, ...others, 'acme_account+key', 'acme_probe'].sort())
  }
  return { mount, fleet, machine, expectNoOrder, expectRecovery }
}

const codesOf = (events: { code?: string }[]) => [...new Set(events.map(({ code }) => code))]

test.each([
  ['root', undefined],
  ['another user than the mount point’s owner', nobody],
])('without its file system, a server of %s places no order', async (_, uid) => {
  const { mount, fleet, machine, expectNoOrder, expectRecovery } = await setUp()
  if (uid !== undefined) {
    mount.giveTo(uid)
    await machine.become(uid)
  }
  mount.detach()
  await expectNoOrder()
  expect(codesOf(failures(machine, 'storeFailed'))).toEqual(['ERR_STORE_CONTAINER'])
  expect(codesOf(failures(machine, 'handshakeFailed'))).toEqual(['ERR_STORE_CONTAINER'])
  expect(await readdir(mount.path)).toEqual([])
  mount.attach()
  await expectRecovery()

  // Once more, when renewals are due.
  const { orders } = fleet.ca.counts
  mount.detach()
  machine.events.length = 0
  await fleet.jump(65 * day)
  await expect.poll(() => failures(machine, 'storeFailed')).not.toEqual([])
  expect(codesOf(failures(machine, 'storeFailed'))).toEqual(['ERR_STORE_CONTAINER'])
  expect(fleet.ca.counts.orders).toBe(orders)
  expect(await readdir(mount.path)).toEqual([])
})

test('with a full disk, a server places no order', async () => {
  const { mount, machine, expectNoOrder, expectRecovery } = await setUp()
  const filler = join(mount.path, 'filler')
  await expect(writeFile(filler, Buffer.alloc(3_000_000))).rejects.toMatchObject({ code: 'ENOSPC' })
  await expectNoOrder()
  expect(codesOf(failures(machine, 'storeFailed'))).toEqual(['ERR_STORE_FAILED'])
  expect(codesOf(failures(machine, 'handshakeFailed'))).toEqual(['ERR_STORE_FAILED'])
  await rm(filler)
  await expectRecovery()
})
