// A mocked Issuer cannot be created at first, as when memory or file descriptors are short.
import { expect, test, vi } from 'vitest'
import { impatient, useManagers } from '../support/managers.js'

const shortage = vi.hoisted(() => ({ isOver: false }))
vi.mock('../../src/issuance/issuer.js', async (original) => {
  const real = await original<typeof import('../../src/issuance/issuer.js')>()
  class Issuer extends real.Issuer {
    constructor(...args: ConstructorParameters<typeof real.Issuer>) {
      if (!shortage.isOver) throw new Error('EMFILE: too many open files')
      super(...args)
    }
  }
  return { ...real, Issuer }
})

const t = useManagers()

test('a manager orders after the shortage that kept the issuer from loading is over', async () => {
  const { manager } = await t.machine({ clock: impatient(t.clock) })
  await expect(manager.getCertificate('a.example')).rejects.toThrow(/EMFILE/)
  shortage.isOver = true
  expect(await manager.getCertificate('b.example')).toMatchObject({ host: 'b.example' })
})
