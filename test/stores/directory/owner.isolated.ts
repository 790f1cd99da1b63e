// Only root can create a folder of another user, so a mocked `stat` reports one.
import type { StatOptions } from 'node:fs'
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test, vi } from 'vitest'
import { DirCertCache } from '../../../src/index.js'

const another = vi.hoisted(() => ({ paths: [] as string[] }))
vi.mock('node:fs/promises', async (original) => {
  const real = await original<typeof import('node:fs/promises')>()
  return {
    ...real,
    async stat(path: string, options?: StatOptions) {
      const found = await real.stat(path, options)
      return another.paths.includes(path) ? Object.assign(found, { uid: Number(found.uid) + 1 }) : found
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
  another.paths = [path]
  return { base, path, cache: new DirCertCache(path) }
}

test('a folder of another user in a directory like /tmp is an error', async () => {
  const { base, path, cache } = await setUp()
  await chmod(base, 0o1777)
  const refused = { code: 'ERR_STORE_FAILED', message: expect.stringContaining(`outside "${base}"`) }
  const operations = [
    () => cache.get(key),
    () => cache.get('b.example'),
    () => cache.put(key, Buffer.from('value')),
    () => cache.tryLock(key),
  ]
  for (const operation of operations) await expect(operation()).rejects.toMatchObject(refused)
  another.paths = []
  expect(String(await new DirCertCache(path).get(key))).toBe('there before')
})

test('a folder of another user is accepted in a directory without the sticky bit', async () => {
  const { base, cache } = await setUp()
  await chmod(base, 0o777)
  expect(String(await cache.get(key))).toBe('there before')
  await cache.put(key, Buffer.from('value'))
})

test('in a directory like /tmp, a folder of this user or of the directory’s owner is accepted', async () => {
  const { base, path } = await setUp()
  await chmod(base, 0o1777)
  for (const paths of [[base], [base, path]]) {
    another.paths = paths
    expect(String(await new DirCertCache(path).get(key))).toBe('there before')
  }
})

test('a folder of another user is accepted in a sticky directory that only its owner can write', async () => {
  const { base, cache } = await setUp()
  await chmod(base, 0o1755)
  expect(String(await cache.get(key))).toBe('there before')
})
