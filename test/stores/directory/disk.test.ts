// What reaches the disk and when, and answers that get lost on the way from a file server.
import { lstat, mkdir, mkdtemp, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { DirCertCache } from '../../../src/index.js'

const system = vi.hoisted(() => ({
  /** What was done, in its order. */
  done: [] as string[],
  whileSyncing: () => {},
  /** So many renames are done, and then asked for again by the client of NFS, which is told that there is nothing. */
  lostAnswers: 0,
  /** What has gone by the time it is looked at. */
  gone: [] as string[],
}))
vi.mock('node:fs/promises', async (original) => {
  const real = await original<typeof import('node:fs/promises')>()
  return {
    ...real,
    async open(...of: Parameters<typeof real.open>) {
      const handle = await real.open(...of)
      const isFolder = (await handle.stat()).isDirectory()
      const sync = handle.sync.bind(handle)
      handle.sync = async () => {
        await sync()
        system.done.push(isFolder ? 'sync of the folder' : 'sync of the file')
        system.whileSyncing()
      }
      return handle
    },
    async rename(from: string, to: string) {
      await real.rename(from, to)
      system.done.push('rename')
      if (system.lostAnswers-- > 0) throw Object.assign(new Error('not there any more'), { code: 'ENOENT' })
    },
    readdir: async (path: string) => [...system.gone, ...(await real.readdir(path))],
    async unlink(path: string) {
      await real.unlink(path)
      system.done.push('unlink')
    },
  }
})

const key = 'a.example'
let path = ''
const lockFolder = () => join(path, `${key}+lock`)

beforeEach(async () => {
  path = await mkdtemp(join(tmpdir(), 'dir-disk-'))
  Object.assign(system, { done: [], whileSyncing: () => {}, lostAnswers: 0, gone: [] })
})
afterEach(async () => {
  vi.useRealTimers()
  await rm(path, { recursive: true })
})

test('a value is on the disk before it takes its name, and its name before put resolves', async () => {
  const cache = new DirCertCache(path)
  await cache.put(key, Buffer.from('value'))
  expect(system.done).toEqual(['sync of the file', 'rename', 'sync of the folder'])
  await cache.delete(key)
  expect(system.done.slice(3)).toEqual(['unlink', 'sync of the folder'])
})

test('a put that is aborted while it is written leaves the former value', async () => {
  const cache = new DirCertCache(path)
  await cache.put(key, Buffer.from('former'))
  const controller = new AbortController()
  system.done = []
  system.whileSyncing = () => controller.abort(new Error('the caller has gone'))
  await expect(cache.put(key, Buffer.from('late'), { signal: controller.signal })).rejects.toThrow(
    'the caller has gone',
  )
  await expect.poll(() => readdir(path)).toEqual([key])
  expect(system.done).not.toContain('rename')
  expect(await readFile(join(path, key), 'utf8')).toBe('former')
})

test('what was left behind long ago is removed, although other files vanish meanwhile', async () => {
  const old = join(path, 'old:tmp')
  await writeFile(old, '')
  await utimes(old, new Date(0), new Date(0))
  system.gone = ['1:tmp', '2:tmp']
  await new DirCertCache(path).put(key, Buffer.from('value'))
  await expect.poll(() => lstat(old).catch(({ code }) => code)).toBe('ENOENT')
})

test('a lock that was taken is held, although the answer was lost', async () => {
  system.lostAnswers = 1
  const lock = await new DirCertCache(path).tryLock(key)
  expect(lock).toBeDefined()
  expect(await readdir(lockFolder())).toHaveLength(1)
  await lock?.release()
  expect(await readdir(path)).toEqual([])
})

test('a lock that was taken over is held, although the answer was lost', async () => {
  vi.useFakeTimers({ toFake: ['performance'] })
  const dead = '11111111-1111-4111-8111-111111111111.7'
  await mkdir(lockFolder())
  await writeFile(join(lockFolder(), dead), '')
  const cache = new DirCertCache(path)
  expect(await cache.tryLock(key)).toBeUndefined()
  vi.advanceTimersByTime(30_000)
  system.lostAnswers = 1
  const lock = await cache.tryLock(key)
  expect(lock).toBeDefined()
  expect(await readdir(lockFolder())).not.toContain(dead)
  await lock?.release()
})

test('a lock that was renewed is held, although the answer was lost', async () => {
  vi.useFakeTimers({ toFake: ['performance', 'setTimeout', 'clearTimeout'] })
  const lock = await new DirCertCache(path).tryLock(key)
  const [file] = (await readdir(lockFolder())) as [string]
  system.lostAnswers = 1
  await vi.advanceTimersByTimeAsync(10_000)
  // Once more, at a time that is known.
  await expect.poll(() => readdir(lockFolder())).toEqual([basename(file, '.0').concat('.2')])
  expect(lock?.signal.aborted).toBe(false)
  await vi.advanceTimersByTimeAsync(20_000)
  expect(lock?.signal.aborted).toBe(false)
  await lock?.release()
})
