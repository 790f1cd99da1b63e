// To make another user's folder takes root; here the system says that it is one.
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test, vi } from 'vitest'
import { DirCertCache } from '../../../src/index.js'

const another = vi.hoisted(() => ({ path: '' }))
vi.mock('node:fs/promises', async (original) => {
  const real = await original<typeof import('node:fs/promises')>()
  return {
    ...real,
    async stat(path: string) {
      const found = await real.stat(path)
      return path === another.path ? Object.assign(found, { uid: found.uid + 1 }) : found
    },
  }
})

const key = 'a.example'

async function setUp() {
  const base = await mkdtemp(join(tmpdir(), 'dir-owner-'))
  onTestFinished(() => rm(base, { recursive: true }))
  const path = join(base, 'certificates')
  await mkdir(path)
  await writeFile(join(path, key), 'there before')
  another.path = path
  return { base, path, cache: new DirCertCache(path) }
}

test('a folder that another user has made where everybody may, as in /tmp, is refused', async () => {
  const { base, path, cache } = await setUp()
  await chmod(base, 0o1777)
  const refused = { code: 'ERR_STORE_FAILED', message: expect.stringContaining(`outside ${base}`) }
  const operations = [
    () => cache.get(key),
    () => cache.get('b.example'),
    () => cache.put(key, Buffer.from('value')),
    () => cache.tryLock(key),
  ]
  for (const operation of operations) await expect(operation()).rejects.toMatchObject(refused)
  another.path = ''
  expect(String(await new DirCertCache(path).get(key))).toBe('there before')
})

test('another user’s folder is taken where not everybody could have made it', async () => {
  const { base, cache } = await setUp()
  await chmod(base, 0o777)
  expect(String(await cache.get(key))).toBe('there before')
  await cache.put(key, Buffer.from('value'))
})
