// Simulates a process that pauses between reading a lock and its next step: `readdir` returns an earlier state.
import { mkdir, mkdtemp, readdir, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { DirCertCache } from '../../../src/index.js'

const seen = vi.hoisted(() => ({ files: undefined as string[] | undefined, everyLockHeld: false }))
vi.mock('node:fs/promises', async (original) => {
  const real = await original<typeof import('node:fs/promises')>()
  return {
    ...real,
    readdir: async (path: string) => seen.files ?? real.readdir(path),
    lstat: async (path: string) => (seen.everyLockHeld ? { isDirectory: () => true } : real.lstat(path)),
  }
})

const key = 'a.example'
const holder = '11111111-1111-4111-8111-111111111111'
const next = '22222222-2222-4222-8222-222222222222'
let [path, lock] = ['', '']
/** The time of the monotonic clock, which only tests advance. */
let monotonicMs = 0

beforeEach(async () => {
  path = await mkdtemp(join(tmpdir(), 'dir-late-'))
  lock = join(path, `${key}+lock`)
  await mkdir(lock)
  await writeFile(join(lock, `${holder}.7`), '')
  Object.assign(seen, { files: undefined, everyLockHeld: false })
  monotonicMs = 0
  vi.spyOn(performance, 'now').mockImplementation(() => monotonicMs)
})
afterEach(async () => {
  vi.restoreAllMocks()
  await rm(path, { recursive: true })
})

/** Returns a store that has seen the holder's file for a whole lease and still sees it. */
async function taker() {
  const cache = new DirCertCache(path)
  expect(await cache.tryLock(key)).toBeUndefined()
  monotonicMs = 30_000
  seen.files = await readdir(lock)
  return cache
}

const files = () => {
  seen.files = undefined
  return readdir(lock)
}

test('a lock that is not renewed is taken over', async () => {
  const cache = await taker()
  expect(await cache.tryLock(key)).toBeDefined()
  expect(await files()).not.toContain(`${holder}.7`)
})

test('a lock is not taken over before a whole lease has passed since it was first seen', async () => {
  const cache = await taker()
  monotonicMs = 29_999
  expect(await cache.tryLock(key)).toBeUndefined()
  expect(await files()).toEqual([`${holder}.7`])
})

test('a lock that its holder renews in the meantime is not taken over', async () => {
  const cache = await taker()
  await rename(join(lock, `${holder}.7`), join(lock, `${holder}.8`))
  expect(await cache.tryLock(key)).toBeUndefined()
  expect(await files()).toEqual([`${holder}.8`])
})

test('a lock that another machine takes over in the meantime is not taken over again', async () => {
  const cache = await taker()
  await rename(join(lock, `${holder}.7`), join(lock, `${next}.0`))
  expect(await cache.tryLock(key)).toBeUndefined()
  expect(await files()).toEqual([`${next}.0`])
})

test('tryLock returns undefined if another machine acquires the lock after it was read as free', async () => {
  const cache = new DirCertCache(path)
  seen.files = []
  expect(await cache.tryLock(key)).toBeUndefined()
  expect(await files()).toEqual([`${holder}.7`])
  expect(await readdir(path)).toEqual([`${key}+lock`])
})

test('of 1,001 watched locks, the store forgets the oldest and restarts its waiting time', async () => {
  const cache = new DirCertCache(path)
  Object.assign(seen, { files: [`${holder}.7`], everyLockHeld: true })
  for (let at = 0; at <= 1_000; at++) expect(await cache.tryLock(`host-${at}.example`)).toBeUndefined()
  Object.assign(seen, { files: undefined, everyLockHeld: false })
  for (const at of [0, 1, 1_000]) {
    const folder = join(path, `host-${at}.example+lock`)
    await mkdir(folder)
    await writeFile(join(folder, `${holder}.7`), '')
  }
  monotonicMs = 30_000
  for (const at of [1, 1_000]) {
    const lock = await cache.tryLock(`host-${at}.example`)
    expect(lock).toBeDefined()
    await lock?.release()
  }
  expect(await cache.tryLock('host-0.example')).toBeUndefined()
})
