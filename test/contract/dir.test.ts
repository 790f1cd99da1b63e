import { mkdir, mkdtemp, rm, symlink, unlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'vitest'
import { DirCertCache } from '../../src/index.js'
import { certCacheContract } from '../../src/testing/index.js'

const contract = certCacheContract({
  async open() {
    const base = await mkdtemp(join(tmpdir(), 'dir-contract-'))
    const [folder, mounted] = [join(base, 'folder'), join(base, 'mounted')]
    await mkdir(folder)
    // What a mount is to a machine; it can be taken away from one.
    await symlink(folder, mounted)
    return {
      store: new DirCertCache(mounted),
      peer: async () => new DirCertCache(folder),
      cutOff: () => unlink(mounted),
      close: () => rm(base, { recursive: true }),
    }
  },
})

describe.concurrent('DirCertCache keeps the contract', () => {
  for (const { name, run, timeoutMs } of contract) test(name, { timeout: timeoutMs }, run)
})
