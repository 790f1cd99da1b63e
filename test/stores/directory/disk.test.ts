// Tests the order in which data reaches the disk, and lost responses of a file server.
import { lstat, mkdir, mkdtemp, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { DirCertCache } from '../../../src/index.js'

const system = vi.hoisted(() => ({
  /** The operations in order. */
  done: [] as string[],
  whileSyncing: () => {},
  /** The number of renames that succeed but reject. */
  lostAnswers: 0,
  /** ENOENT: the NFS client repeated the rename and found nothing to rename. */
  lostAnswer: 'ENOENT',
  /** Names that `readdir` returns, of files that no longer exist. */
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
      if (system.lostAnswers-- > 0)
        throw Object.assign(new Error('the answer is lost'), { code: system.lostAnswer })
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
  Object.assign(system, { done: [], whileSyncing: () => {}, lostAnswers: 0, lostAnswer: 'ENOENT', gone: [] })
})
afterEach(async () => {
  vi.useRealTimers()
  await rm(path, { recursive: true })
})

test('put syncs the file before it is renamed, and the folder before it resolves', async () => {
  const cache = new DirCertCache(path)
  await cache.put(key, Buffer.from('value'))
  expect(system.done).toEqual(['sync of the file', 'rename', 'sync of the folder'])
  await cache.delete(key)
  expect(system.done.slice(3)).toEqual(['unlink', 'sync of the folder'])
})

test('a put that is aborted while it writes leaves the former value', async () => {
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

test('put removes old temporary files even if other files vanish at the same time', async () => {
  const old = join(path, 'old:tmp')
  await writeFile(old, '')
  await utimes(old, new Date(0), new Date(0))
  system.gone = ['1:tmp', '2:tmp']
  await new DirCertCache(path).put(key, Buffer.from('value'))
  await expect.poll(() => lstat(old).catch(({ code }) => code)).toBe('ENOENT')
})

test('tryLock acquires the lock even if the response to its rename is lost', async () => {
  system.lostAnswers = 1
  const lock = await new DirCertCache(path).tryLock(key)
  expect(lock).toBeDefined()
  expect(await readdir(lockFolder())).toHaveLength(1)
  await lock?.release()
  expect(await readdir(path)).toEqual([])
})

test('tryLock takes over a lock even if the response to its rename is lost', async () => {
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

test('a lock stays held even if the response to its renewal is lost', async () => {
  vi.useFakeTimers({ toFake: ['performance', 'Date', 'setTimeout', 'clearTimeout'] })
  const lock = await new DirCertCache(path).tryLock(key)
  const [file] = (await readdir(lockFolder())) as [string]
  system.lostAnswers = 1
  await vi.advanceTimersByTimeAsync(10_000)
  // The holder renames the file again, since the time of the first rename is unknown.
  await expect.poll(() => readdir(lockFolder())).toEqual([basename(file, '.0').concat('.2')])
  expect(lock?.signal.aborted).toBe(false)
  await vi.advanceTimersByTimeAsync(20_000)
  expect(lock?.signal.aborted).toBe(false)
  await lock?.release()
})

test('release removes the holder’s file even if the response to a renewal is lost', async () => {
  vi.useFakeTimers({ toFake: ['performance', 'Date', 'setTimeout', 'clearTimeout'] })
  const lock = await new DirCertCache(path).tryLock(key)
  const [file] = (await readdir(lockFolder())) as [string]
  Object.assign(system, { lostAnswers: 1, lostAnswer: 'EIO' })
  vi.advanceTimersByTime(10_000)
  await expect.poll(() => readdir(lockFolder())).toEqual([basename(file, '.0').concat('.1')])
  await lock?.release()
  expect(await readdir(path)).toEqual([])
})
