// A process that is stopped between what it saw and what it does: here it sees what was there before.
import { mkdir, mkdtemp, readdir, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { DirCertCache } from '../../../src/index.js'

const seen = vi.hoisted(() => ({ files: undefined as string[] | undefined }))
vi.mock('node:fs/promises', async (original) => {
  const real = await original<typeof import('node:fs/promises')>()
  return { ...real, readdir: async (path: string) => seen.files ?? real.readdir(path) }
})

const key = 'a.example'
const holder = '11111111-1111-4111-8111-111111111111'
const next = '22222222-2222-4222-8222-222222222222'
let [path, lock] = ['', '']
let ahead = 0

beforeEach(async () => {
  path = await mkdtemp(join(tmpdir(), 'dir-late-'))
  lock = join(path, `${key}+lock`)
  await mkdir(lock)
  await writeFile(join(lock, `${holder}.7`), '')
  seen.files = undefined
  const now = performance.now.bind(performance)
  ahead = 0
  vi.spyOn(performance, 'now').mockImplementation(() => now() + ahead)
})
afterEach(async () => {
  vi.restoreAllMocks()
  await rm(path, { recursive: true })
})

/** Has seen the holder's file for longer than a lease, and now sees it once more. */
async function taker() {
  const cache = new DirCertCache(path)
  expect(await cache.tryLock(key)).toBeUndefined()
  ahead = 31_000
  seen.files = await readdir(lock)
  return cache
}

const files = () => {
  seen.files = undefined
  return readdir(lock)
}

test('a lock that nobody keeps is taken over', async () => {
  const cache = await taker()
  expect(await cache.tryLock(key)).toBeDefined()
  expect(await files()).not.toContain(`${holder}.7`)
})

test('not before a whole lease has passed since it was first seen', async () => {
  const cache = await taker()
  ahead = 29_000
  expect(await cache.tryLock(key)).toBeUndefined()
  expect(await files()).toEqual([`${holder}.7`])
})

test('a lock that its holder has kept meanwhile stays its holder’s', async () => {
  const cache = await taker()
  await rename(join(lock, `${holder}.7`), join(lock, `${holder}.8`))
  expect(await cache.tryLock(key)).toBeUndefined()
  expect(await files()).toEqual([`${holder}.8`])
})

test('a lock that somebody else has taken over meanwhile stays theirs', async () => {
  const cache = await taker()
  await rename(join(lock, `${holder}.7`), join(lock, `${next}.0`))
  expect(await cache.tryLock(key)).toBeUndefined()
  expect(await files()).toEqual([`${next}.0`])
})

test('a lock that was free when it was looked at, and is held when it is taken, stays its holder’s', async () => {
  const cache = new DirCertCache(path)
  seen.files = []
  expect(await cache.tryLock(key)).toBeUndefined()
  expect(await files()).toEqual([`${holder}.7`])
  expect(await readdir(path)).toEqual([`${key}+lock`])
})
