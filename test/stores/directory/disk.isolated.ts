// Tests the order in which data reaches the disk, and lost responses of a file server.
import { mkdirSync, renameSync } from 'node:fs'
import {
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  rmdir,
  utimes,
  writeFile,
} from 'node:fs/promises'
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
  /** The modification times that `lstat` reports for files of these names. */
  mtimes: {} as Record<string, number>,
  /** The number of opens that fail because a file server has replaced the file. */
  staleOpens: 0,
  /** The error code with which a sync of the folder fails. */
  folderSyncFault: '',
  whileOpening: () => {},
  /** The number of open files and folders. */
  open: 0,
}))
vi.mock('node:fs/promises', async (original) => {
  const real = await original<typeof import('node:fs/promises')>()
  const fault = (code: string) => Object.assign(new Error('made by the test'), { code })
  /** Counts the handle as open until it is closed. */
  const counted = <T extends { close(): Promise<void> }>(handle: T): T => {
    system.open += 1
    const close = handle.close.bind(handle)
    handle.close = () => {
      system.open -= 1
      return close()
    }
    return handle
  }
  return {
    ...real,
    async open(...of: Parameters<typeof real.open>) {
      if (system.staleOpens-- > 0) throw fault('ESTALE')
      const handle = counted(await real.open(...of))
      const isFolder = (await handle.stat()).isDirectory()
      const sync = handle.sync.bind(handle)
      handle.sync = async () => {
        await sync()
        system.done.push(isFolder ? 'sync of the folder' : 'sync of the file')
        system.whileSyncing()
        if (isFolder && system.folderSyncFault) throw fault(system.folderSyncFault)
      }
      return handle
    },
    async opendir(path: string) {
      const dir = counted(await real.opendir(path))
      system.whileOpening()
      return dir
    },
    async lstat(path: string) {
      const name = basename(path)
      if (system.gone.includes(name)) throw fault('ENOENT')
      const stats = await real.lstat(path)
      return Object.assign(stats, name in system.mtimes && { mtimeMs: system.mtimes[name] })
    },
    async rename(from: string, to: string) {
      await real.rename(from, to)
      system.done.push('rename')
      if (system.lostAnswers-- > 0) throw fault(system.lostAnswer)
    },
    readdir: async (path: string) => [...system.gone, ...(await real.readdir(path)).sort()],
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
  const nothing = () => {}
  Object.assign(system, { done: [], whileSyncing: nothing, lostAnswers: 0, lostAnswer: 'ENOENT', gone: [] })
  Object.assign(system, { mtimes: {}, staleOpens: 0, folderSyncFault: '', whileOpening: nothing, open: 0 })
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

test('put removes temporary files that are older than one hour', async () => {
  for (const name of ['an-hour:tmp', 'older:tmp']) await writeFile(join(path, name), '')
  const now = 1_000_000_000
  system.mtimes = { [key]: now, 'an-hour:tmp': now - 3_600_000, 'older:tmp': now - 3_600_001 }
  await new DirCertCache(path).put(key, Buffer.from('value'))
  // The files are visited in alphabetical order.
  await expect.poll(() => readdir(path)).not.toContain('older:tmp')
  expect(await readdir(path)).toEqual([key, 'an-hour:tmp'])
})

test.each(['EINVAL', 'ENOTSUP'])('put and delete succeed if a folder cannot be synced: %s', async (code) => {
  const cache = new DirCertCache(path)
  system.folderSyncFault = code
  await cache.put(key, Buffer.from('value'))
  await cache.delete(key)
  expect(await cache.get(key)).toBeUndefined()
})

test('put and delete reject if the sync of the folder fails', async () => {
  const cache = new DirCertCache(path)
  system.folderSyncFault = 'EIO'
  const failed = { code: 'ERR_STORE_UNREACHABLE' }
  await expect(cache.put(key, Buffer.from('value'))).rejects.toMatchObject(failed)
  await expect(cache.delete(key)).rejects.toMatchObject(failed)
  expect(system.open).toBe(0)
})

test('put and delete reject if the folder is replaced while they run', async () => {
  const cache = new DirCertCache(path)
  const elsewhere = join(path, '..', `${basename(path)}-elsewhere`)
  await cache.put(key, Buffer.from('value'))
  system.whileSyncing = () => {
    if (system.done.at(-1) !== 'sync of the folder') return
    renameSync(path, elsewhere)
    mkdirSync(path)
  }
  for (const operation of [() => cache.put(key, Buffer.from('new')), () => cache.delete(key)]) {
    await expect(operation()).rejects.toMatchObject({ code: 'ERR_STORE_CONTAINER' })
    await rmdir(path)
    await rename(elsewhere, path)
  }
})

test('get reads a file that another machine replaces up to four times', async () => {
  const cache = new DirCertCache(path)
  await cache.put(key, Buffer.from('value'))
  system.staleOpens = 3
  expect(String(await cache.get(key))).toBe('value')
  system.staleOpens = 4
  await expect(cache.get(key)).rejects.toMatchObject({ code: 'ERR_STORE_UNREACHABLE' })
})

test('get, put, delete and tryLock close every file', async () => {
  const cache = new DirCertCache(path)
  await cache.put(key, Buffer.from('value'))
  await cache.get(key)
  await cache.delete(key)
  await (await cache.tryLock(key))?.release()
  expect(system.open).toBe(0)
  await mkdir(join(path, key))
  await expect(cache.get(key)).rejects.toMatchObject({ code: 'ERR_STORE_ENTRY' })
  await expect(cache.put(key, Buffer.from('value'))).rejects.toMatchObject({ code: 'ERR_STORE_ENTRY' })
  expect(system.open).toBe(0)
})

test('list skips files that vanish, and closes the folder at its end, when it is left and when it is aborted', async () => {
  const cache = new DirCertCache(path)
  for (const name of ['a.example', 'b.example', 'c.example']) await cache.put(name, Buffer.from('value'))
  system.gone = ['b.example']
  const names: string[] = []
  for await (const { name } of cache.list()) names.push(name)
  expect(names.sort()).toEqual(['a.example', 'c.example'])
  await expect.poll(() => system.open).toBe(0)
  for await (const _ of cache.list()) break
  await expect.poll(() => system.open).toBe(0)
  const controller = new AbortController()
  const reason = new Error('the caller has gone')
  system.whileOpening = () => controller.abort(reason)
  await expect(cache.list({ signal: controller.signal }).next()).rejects.toBe(reason)
  await expect.poll(() => system.open).toBe(0)
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

test('a lock stays held even if the responses to two renames in a row are lost', async () => {
  vi.useFakeTimers({ toFake: ['performance', 'Date', 'setTimeout', 'clearTimeout'] })
  const lock = await new DirCertCache(path).tryLock(key)
  const [file] = (await readdir(lockFolder())) as [string]
  system.lostAnswers = 2
  vi.advanceTimersByTime(10_000)
  await expect.poll(() => readdir(lockFolder())).toEqual([basename(file, '.0').concat('.3')])
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
