// Modules that cannot be loaded at first, as when memory or file descriptors are short.
import { beforeEach, expect, test, vi } from 'vitest'
import { day, impatient, useManagers } from '../support/managers.js'

const shortage = vi.hoisted(() => ({ isOver: false, failures: 0 }))
const failDuringShortage = vi.hoisted(() => () => {
  if (shortage.isOver) return
  shortage.failures += 1
  throw new Error('EMFILE: too many open files')
})
beforeEach(() => Object.assign(shortage, { isOver: false, failures: 0 }))

vi.mock('../../src/issuance/orders.js', async (original) => {
  const real = await original<typeof import('../../src/issuance/orders.js')>()
  class Orders extends real.Orders {
    constructor(...args: ConstructorParameters<typeof real.Orders>) {
      failDuringShortage()
      super(...args)
    }
  }
  return { ...real, Orders }
})
vi.mock('../../src/issuance/renewal-info-records.js', async (original) => {
  const real = await original<typeof import('../../src/issuance/renewal-info-records.js')>()
  class RenewalInfoRecords extends real.RenewalInfoRecords {
    constructor(...args: ConstructorParameters<typeof real.RenewalInfoRecords>) {
      failDuringShortage()
      super(...args)
    }
  }
  return { ...real, RenewalInfoRecords }
})

const t = useManagers()

test('a manager orders after the shortage that kept its orders from loading is over', async () => {
  const { manager } = await t.machine({ clock: impatient(t.clock) })
  await expect(manager.getCertificate('a.example')).rejects.toThrow(/EMFILE/)
  shortage.isOver = true
  expect(await manager.getCertificate('b.example')).toMatchObject({ host: 'b.example' })
})

test('a manager honours the CA’s window after the shortage that kept it from reading windows is over', async () => {
  shortage.isOver = true
  const { manager, events } = await t.machine()
  const { serialNumber } = await manager.getCertificate('a.example')
  t.ca.suggestRenewal(serialNumber, { start: t.clock.now() + 2 * day, end: t.clock.now() + 3 * day })
  shortage.isOver = false
  t.clock.jump(day)
  await expect.poll(() => shortage.failures).toBeGreaterThan(0)
  const [{ renewAtSource } = {}] = manager.status()
  expect(renewAtSource).toBe('lifetime')
  shortage.isOver = true
  t.clock.jump(day)
  await expect.poll(() => manager.status()[0]?.renewAtSource).toBe('ari')
  expect(events.renewed).toBeUndefined()
})
