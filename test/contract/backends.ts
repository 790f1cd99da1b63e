import { mkdir, mkdtemp, rm, symlink, unlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'vitest'
import { AzureBlobCertCache, DirCertCache } from '../../src/index.js'
import { type ContractBackend, certCacheContract, MemoryCertCache } from '../../src/testing/index.js'
import { azurite, freshContainer } from '../support/azure.js'
import { openTap } from '../support/tap.js'

export const azureBlob: ContractBackend = {
  async open() {
    const { client, connect } = await freshContainer()
    const tap = await openTap(azurite().endpoint)
    return {
      store: await AzureBlobCertCache.connect({ ...connect, endpoint: tap.endpoint }),
      peer: () => AzureBlobCertCache.connect(connect),
      cutOff: () => tap.fault(() => 'hang'),
      mend: () => tap.fault(() => undefined),
      async close() {
        await tap.close()
        await client.delete()
      },
    }
  },
}

export const dir: ContractBackend = {
  async open() {
    const base = await mkdtemp(join(tmpdir(), 'dir-contract-'))
    const [folder, mounted] = [join(base, 'folder'), join(base, 'mounted')]
    await mkdir(folder)
    // What a mount is to a machine; it can be taken away from one.
    const mount = () => symlink(folder, mounted)
    await mount()
    return {
      store: new DirCertCache(mounted),
      peer: async () => new DirCertCache(folder),
      cutOff: () => unlink(mounted),
      mend: mount,
      close: () => rm(base, { recursive: true }),
    }
  },
}

export const memory: ContractBackend = {
  async open() {
    const store = new MemoryCertCache()
    return {
      store,
      peer: async () => store.peer(),
      cutOff: () => store.cutOff(),
      mend: () => store.mend(),
      close: async () => {},
    }
  },
}

/** The cases that take seconds in npm test; those that wait for locks to end with the other long ones. */
export function keepsContract(name: string, backend: ContractBackend, which: 'quick' | 'slow'): void {
  const cases = certCacheContract(backend).filter(
    ({ timeoutMs }) => timeoutMs > 60_000 === (which === 'slow'),
  )
  describe.concurrent(`${name} keeps the contract`, () => {
    for (const { name, run, timeoutMs } of cases) test(name, { timeout: timeoutMs }, run)
  })
}
