import { readdir, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { DirCertCache } from '../../../src/index.js'
import { openMount } from '../../support/mounts.js'

const key = 'a.example'
const value = (text: string, size = 1_000) => Buffer.from(text.padEnd(size))

async function setUp(size = '1m') {
  const mount = await openMount({ size })
  onTestFinished(() => mount.close())
  return { mount, cache: new DirCertCache(mount.path) }
}

const gone = { code: 'ERR_STORE_CONTAINER' }

test('without its file system, every operation rejects, and nothing is written below the mount point', async () => {
  const { mount, cache } = await setUp()
  await cache.put(key, value('stored'))
  const lock = (await cache.tryLock(key)) ?? expect.unreachable()
  mount.detach()
  for (const operation of [
    () => cache.get(key),
    () => cache.put(key, value('new')),
    () => cache.delete(key),
    () => cache.tryLock('b.example'),
    () => lock.release(),
    () => cache.list().next(),
  ]) {
    await expect(operation()).rejects.toMatchObject(gone)
  }
  expect(await readdir(mount.path)).toEqual([])
  mount.attach()
  expect(await cache.get(key)).toEqual(value('stored'))
  await lock.release()
  await cache.put('b.example', value('new'))
  expect(await readdir(mount.path)).toEqual(expect.arrayContaining([key, 'b.example']))
})

test('a file system whose device number changes is the same store if it has the same values', async () => {
  const { mount, cache } = await setUp()
  await cache.put(key, value('stored'))
  const { dev } = await stat(mount.path)
  mount.detach()
  mount.copy()
  mount.attach()
  expect((await stat(mount.path)).dev).not.toBe(dev)
  expect(await cache.get(key)).toEqual(value('stored'))
  await cache.put('b.example', value('new'))
  await (await cache.tryLock(key))?.release()
})

test('a write to a full file system fails and leaves the former value; with space, it succeeds', async () => {
  const { mount, cache } = await setUp('64k')
  await cache.put(key, value('stored'))
  const filler = join(mount.path, 'filler')
  const full = {
    code: 'ERR_STORE_FAILED',
    message: expect.stringContaining('full (ENOSPC). Free some space'),
  }
  await expect(writeFile(filler, Buffer.alloc(100_000))).rejects.toMatchObject({ code: 'ENOSPC' })
  for (const name of [key, 'b.example']) {
    await expect(cache.put(name, value('new'))).rejects.toMatchObject(full)
    await expect(cache.put(name, value('new', 20_000))).rejects.toMatchObject(full)
  }
  expect(await cache.get(key)).toEqual(value('stored'))
  expect(await cache.get('b.example')).toBeUndefined()
  expect((await readdir(mount.path)).sort()).toEqual([key, 'filler'])
  await rm(filler)
  await cache.put(key, value('new', 20_000))
  expect(await cache.get(key)).toEqual(value('new', 20_000))
  await (await cache.tryLock(key))?.release()
})
