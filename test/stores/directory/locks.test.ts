import { lstat, mkdir, readdir, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, describe, type ExpectStatic, expect, test } from 'vitest'
import { DirCertCache } from '../../../src/index.js'
import { openFolder } from './folder.js'

const open: Awaited<ReturnType<typeof openFolder>>[] = []
afterAll(async () => {
  for (const folder of open) await folder.close()
})
async function setUp() {
  const folder = await openFolder()
  open.push(folder)
  return folder
}

const key = 'a.example'
const held = { value: { held: true } }
const notHeld = { value: { held: false } }

/**
 * Asks for the lock until it is given; resolves with how long that took, in ms.
 * @param expect the test's own: among tests that run beside each other the general one belongs to any of them
 */
async function untilHeld(expect: ExpectStatic, ask: (task: object) => Promise<unknown>): Promise<number> {
  const from = performance.now()
  await expect.poll(() => ask({ do: 'lock', key }), { timeout: 60_000, interval: 250 }).toEqual(held)
  return performance.now() - from
}

describe.concurrent('among processes', { timeout: 120_000 }, () => {
  test('work under the lock is done by one after the other', async ({ expect }) => {
    const folder = await setUp()
    const machines = await Promise.all(Array.from({ length: 6 }, () => folder.machine()))
    const answers = await Promise.all(machines.map(({ ask }) => ask({ do: 'count', key, times: 10 })))
    expect(answers).toEqual(machines.map(() => ({})))
    expect(String(await new DirCertCache(folder.path).get(key))).toBe('60')
    // Locks and what they were made with are gone.
    expect(await readdir(folder.path)).toEqual([key])
  })

  test('a holder that is killed loses the lock within a minute', async ({ expect }) => {
    const folder = await setUp()
    const [holder, other] = [await folder.machine(), await folder.machine()]
    expect(await holder.ask({ do: 'lock', key })).toEqual(held)
    expect(await other.ask({ do: 'lock', key })).toEqual(notHeld)
    await holder.kill()
    const took = await untilHeld(expect, other.ask)
    expect(took).toBeLessThan(60_000)
    expect(await other.ask({ do: 'state' })).toEqual({ value: { aborted: false } })
    expect(await other.ask({ do: 'release' })).toEqual({})
    expect(await readdir(folder.path)).toEqual([])
  })

  test('of many that wait for a dead holder’s lock, one gets it', async ({ expect }) => {
    const folder = await setUp()
    const holder = await folder.machine()
    expect(await holder.ask({ do: 'lock', key })).toEqual(held)
    await holder.kill()
    const waiting = Array.from({ length: 8 }, () => new DirCertCache(folder.path))
    const locks: object[] = []
    await expect
      .poll(
        async () => {
          const tries = await Promise.all(waiting.map((cache) => cache.tryLock(key)))
          locks.push(...tries.filter((lock) => lock !== undefined))
          return locks.length
        },
        { timeout: 60_000, interval: 100 },
      )
      .toBeGreaterThan(0)
    for (const cache of waiting) expect(await cache.tryLock(key)).toBeUndefined()
    expect(locks).toHaveLength(1)
  })

  test('a holder that was stopped knows at once that it has lost the lock, and leaves it to the next', async ({
    expect,
  }) => {
    const folder = await setUp()
    const [holder, other, third] = [await folder.machine(), await folder.machine(), await folder.machine()]
    expect(await holder.ask({ do: 'lock', key })).toEqual(held)
    holder.child.kill('SIGSTOP')
    await untilHeld(expect, other.ask)
    holder.child.kill('SIGCONT')
    expect(await holder.ask({ do: 'state' })).toEqual({ value: { aborted: true, code: 'ERR_LOCK_LOST' } })
    expect(await holder.ask({ do: 'release' })).toEqual({})
    expect(await third.ask({ do: 'lock', key })).toEqual(notHeld)
    expect(await other.ask({ do: 'state' })).toEqual({ value: { aborted: false } })
  })

  test('a taker that comes too late takes nothing from who was first', async ({ expect }) => {
    const folder = await setUp()
    const [holder, late] = [await folder.machine(), await folder.machine()]
    const cache = new DirCertCache(folder.path)
    expect(await holder.ask({ do: 'lock', key })).toEqual(held)
    expect(await late.ask({ do: 'lock', key })).toEqual(notHeld)
    await holder.kill()
    let first = await cache.tryLock(key)
    late.child.kill('SIGSTOP')
    await expect
      .poll(
        async () => {
          first ??= await cache.tryLock(key)
          return first !== undefined
        },
        { timeout: 60_000, interval: 250 },
      )
      .toBe(true)
    late.child.kill('SIGCONT')
    expect(await late.ask({ do: 'lock', key })).toEqual(notHeld)
    expect(first?.signal.aborted).toBe(false)
    await first?.release()
  })
})

test('a lock that another kind of store left behind, and what desktops leave in one, are in nobody’s way', async () => {
  const folder = await setUp()
  const cache = new DirCertCache(folder.path)
  await cache.put(key, Buffer.from('value'))
  await writeFile(join(folder.path, `${key}+lock`), '')
  const lock = await cache.tryLock(key)
  expect(lock).toBeDefined()
  await lock?.release()
  await mkdir(join(folder.path, `${key}+lock`))
  await writeFile(join(folder.path, `${key}+lock`, '.DS_Store'), 'x')
  const next = await cache.tryLock(key)
  expect(next).toBeDefined()
  await writeFile(join(folder.path, `${key}+lock`, '.DS_Store'), 'x')
  expect(await cache.tryLock(key)).toBeUndefined()
  await next?.release()
  expect(await cache.tryLock(key)).toBeDefined()
})

test('a link in place of a lock is not followed: its target stays as it is', async () => {
  const { base, path } = await setUp()
  await mkdir(join(base, 'precious', 'deep'), { recursive: true })
  await writeFile(join(base, 'precious', 'file'), 'x')
  await mkdir(path)
  await symlink(join(base, 'precious'), join(path, `${key}+lock`))
  const lock = await new DirCertCache(path).tryLock(key)
  expect(lock).toBeDefined()
  expect((await lstat(join(path, `${key}+lock`))).isDirectory()).toBe(true)
  expect((await readdir(join(base, 'precious'))).sort()).toEqual(['deep', 'file'])
  await lock?.release()
})

test('a folder in place of a lock loses nothing but files: with folders in it that hold something, it is an error', async () => {
  const { path } = await setUp()
  const cache = new DirCertCache(path)
  const photos = join(path, 'photos+lock')
  await mkdir(join(photos, '2020'), { recursive: true })
  await writeFile(join(photos, '2020', '1.jpg'), 'x')
  const inTheWay = { code: 'ERR_STORE_FAILED', message: expect.stringContaining(join(photos, '2020')) }
  await expect(cache.tryLock('photos')).rejects.toMatchObject(inTheWay)
  expect(await readdir(join(photos, '2020'))).toEqual(['1.jpg'])
  await mkdir(join(path, `${key}+lock`, 'empty'), { recursive: true })
  const lock = await cache.tryLock(key)
  expect(lock).toBeDefined()
  await lock?.release()
})

test('a holder’s file keeps being renamed, so that a name is never seen for a whole lease', async () => {
  const folder = await setUp()
  const cache = new DirCertCache(folder.path)
  const lock = await cache.tryLock(key)
  const names = () => readdir(join(folder.path, `${key}+lock`))
  const [first] = await names()
  expect(first).toMatch(/^[\da-f-]{36}\.0$/)
  await expect.poll(names, { timeout: 15_000 }).toEqual([first?.replace(/0$/, '1')])
  expect(lock?.signal.aborted).toBe(false)
  await lock?.release()
})
