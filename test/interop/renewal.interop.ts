import { expect, test } from 'vitest'
import { ShiftingClock } from '../support/shifting-clock.js'
import { handshake } from '../support/tls.js'
import { openSite } from './site.js'

const host = 'shop.example'
const day = 86_400_000

test('the Node fleet adopts a certificate that Go renewed', async () => {
  // autocert renews 30 days before expiry: a lifetime of 20 days is due at once, one of 90 days is not.
  await using site = await openSite({ lifetimeMs: 20 * day })
  const clock = new ShiftingClock()
  const fleet = [await site.node({ clock }), await site.node({ clock })]
  site.validateAt(fleet[0]!)
  const { serialNumber } = await handshake(fleet[0]!.tlsPort, host)
  await handshake(fleet[1]!.tlsPort, host)

  site.ca.lifetimeMs = 90 * day
  const go = await site.goServer({ renewBefore: `${30 * 24}h` })
  site.validateAt(go)
  await expect.poll(() => serialAt(go.tlsPort), { timeout: 180_000 }).not.toBe(serialNumber)
  const renewed = await serialAt(go.tlsPort)

  for (const node of fleet) {
    const adopted = node.reported('adopted')
    clock.set(2 * 3_600_000)
    // The handshake that triggers the check still gets the previous certificate.
    expect(await serialAt(node.tlsPort)).toBe(serialNumber)
    await adopted
    expect(await serialAt(node.tlsPort)).toBe(renewed)
  }
  expect(site.ca.counts.orders).toBe(2)
})

test('Go adopts a certificate that Node renewed', async () => {
  // Go reads the container when its certificate is due, after 45 to 53 s. Node renews before.
  await using site = await openSite({ lifetimeMs: 120_000 })
  const clock = new ShiftingClock()
  const go = await site.goServer({ renewBefore: '75s' })
  site.validateAt(go)
  const { serialNumber } = await handshake(go.tlsPort, host)
  const node = await site.node({ clock })
  site.validateAt(node)
  expect(await serialAt(node.tlsPort)).toBe(serialNumber)

  site.ca.lifetimeMs = 90 * day
  const renewed = node.reported('renewed')
  clock.set(82_000)
  expect(await serialAt(node.tlsPort)).toBe(serialNumber)
  const [{ serialNumber: newer }] = await renewed
  expect(await serialAt(node.tlsPort)).toBe(newer)
  await expect.poll(() => serialAt(go.tlsPort), { timeout: 180_000 }).toBe(newer)
  expect(site.ca.counts.orders).toBe(2)
})

const serialAt = async (port: number) => (await handshake(port, host)).serialNumber
