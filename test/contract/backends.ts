import { mkdir, mkdtemp, rm, symlink, unlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { AzureBlobCertCache, type CertCache, DirCertCache } from '../../src/index.js'
import { type ContractBackend, MemoryCertCache } from '../../src/testing/index.js'
import { azurite, freshContainer } from '../support/azure.js'
import { openTap } from '../support/tap.js'

/**
 * @param cutOff what happens to the requests of a store that is cut off
 * @param timeoutMs the time-out of an operation: by default too long to matter on a slow machine
 */
export const azureBlob = (cutOff: 'hang' | 'reset', timeoutMs = 60_000): ContractBackend => ({
  async open() {
    const { client, connect } = await freshContainer()
    const tap = await openTap(azurite().endpoint)
    return {
      store: await AzureBlobCertCache.connect({ ...connect, endpoint: tap.endpoint, timeoutMs }),
      peer: () => AzureBlobCertCache.connect({ ...connect, timeoutMs }),
      cutOff: () => tap.fault(() => cutOff),
      mend: () => tap.fault(() => undefined),
      async close() {
        await tap.close()
        await client.delete()
      },
    }
  },
})

export const dir: ContractBackend = {
  async open() {
    const base = await mkdtemp(join(tmpdir(), 'dir-contract-'))
    const [folder, mountPoint] = [join(base, 'folder'), join(base, 'mount-point')]
    await mkdir(folder)
    // A symbolic link simulates a mount, which one machine can lose.
    const mount = () => symlink(folder, mountPoint)
    await mount()
    return {
      store: new DirCertCache(mountPoint),
      peer: async () => new DirCertCache(folder),
      cutOff: () => unlink(mountPoint),
      mend: mount,
      close: () => rm(base, { recursive: true }),
    }
  },
}

/** @param wrap returns the store under test, given one that works */
export const memory = (wrap: (store: MemoryCertCache) => CertCache = (store) => store): ContractBackend => ({
  async open() {
    const store = new MemoryCertCache()
    return {
      store: wrap(store),
      peer: async () => wrap(store.peer()),
      cutOff: () => store.cutOff(),
      mend: () => store.mend(),
      close: async () => {},
    }
  },
})
