import { lstat, mkdir, readdir, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, type ExpectStatic, expect, type TestContext, test, vi } from 'vitest'
import { DirCertCache } from '../../../src/index.js'
import { type Answer, openFolder } from './folder.js'

async function setUp({ onTestFinished }: TestContext) {
  const folder = await openFolder()
  onTestFinished(folder.close)
  return folder
}

const key = 'a.example'
const held = { value: { held: true } }
const notHeld = { value: { held: false } }
/** Longer than a lease. */
const leaseMs = 31_000

type Ask = (task: object) => Promise<Answer>

/** Makes a machine take over a dead holder’s lock: it sees the file, and sees it again a lease later by its own clock. */
const takeOver = (expect: ExpectStatic, ask: Ask) =>
  // The holder may have renewed the lock after the machine’s first read, before it ended.
  expect
    .poll(async () => {
      expect(await ask({ do: 'lock', key })).toEqual(notHeld)
      await ask({ do: 'pass', ms: leaseMs })
      return ask({ do: 'lock', key })
    })
    .toEqual(held)

describe.concurrent('between processes', () => {
  test('only one machine at a time works under the lock', async (context) => {
    const folder = await setUp(context)
    const machines = await Promise.all(Array.from({ length: 4 }, () => folder.machine()))
    const answers = await Promise.all(machines.map(({ ask }) => ask({ do: 'count', key, times: 15 })))
    expect(answers).toEqual(machines.map(() => ({})))
    expect(String(await new DirCertCache(folder.path).get(key))).toBe('60')
    // Neither locks nor temporary files are left.
    expect(await readdir(folder.path)).toEqual([key])
  })

  test('another machine takes over the lock of a holder that was killed', async (context) => {
    const folder = await setUp(context)
    const [holder, other] = [await folder.machine(), await folder.machine()]
    expect(await holder.ask({ do: 'lock', key })).toEqual(held)
    expect(await other.ask({ do: 'lock', key })).toEqual(notHeld)
    await holder.kill()
    await takeOver(context.expect, other.ask)
    expect(await other.ask({ do: 'state' })).toEqual({ value: { aborted: false } })
    expect(await other.ask({ do: 'release' })).toEqual({})
    expect(await readdir(folder.path)).toEqual([])
  })

  test('a resumed holder sees at once that its lock is lost, and its release keeps the next holder’s lock', async (context) => {
    const folder = await setUp(context)
    const [holder, other, third] = [await folder.machine(), await folder.machine(), await folder.machine()]
    expect(await holder.ask({ do: 'lock', key })).toEqual(held)
    holder.child.kill('SIGSTOP')
    await takeOver(context.expect, other.ask)
    holder.child.kill('SIGCONT')
    await holder.ask({ do: 'pass', ms: leaseMs })
    expect(await holder.ask({ do: 'state' })).toEqual({ value: { aborted: true, code: 'ERR_LOCK_LOST' } })
    expect(await holder.ask({ do: 'release' })).toEqual({})
    expect(await third.ask({ do: 'lock', key })).toEqual(notHeld)
    expect(await other.ask({ do: 'state' })).toEqual({ value: { aborted: false } })
  })

  test('a machine does not take over a lock that another machine has just taken over', async (context) => {
    const folder = await setUp(context)
    const [holder, first, second] = [await folder.machine(), await folder.machine(), await folder.machine()]
    expect(await holder.ask({ do: 'lock', key })).toEqual(held)
    await holder.kill()
    expect(await second.ask({ do: 'lock', key })).toEqual(notHeld)
    await takeOver(context.expect, first.ask)
    await second.ask({ do: 'pass', ms: leaseMs })
    expect(await second.ask({ do: 'lock', key })).toEqual(notHeld)
    expect(await first.ask({ do: 'state' })).toEqual({ value: { aborted: false } })
  })
})

test('one of 8 concurrent takeovers of a dead holder’s lock succeeds', async (context) => {
  const { path } = await setUp(context)
  const now = vi.spyOn(performance, 'now')
  context.onTestFinished(() => now.mockRestore())
  for (let round = 0; round < 5; round++) {
    const name = `host-${round}.example`
    await mkdir(join(path, `${name}+lock`), { recursive: true })
    await writeFile(join(path, `${name}+lock`, '11111111-1111-4111-8111-111111111111.7'), '')
    const takers = Array.from({ length: 8 }, () => new DirCertCache(path))
    now.mockReturnValue(round * 100_000)
    for (const taker of takers) expect(await taker.tryLock(name)).toBeUndefined()
    now.mockReturnValue(round * 100_000 + leaseMs)
    const locks = await Promise.all(takers.map((taker) => taker.tryLock(name)))
    expect(locks.filter((lock) => lock !== undefined)).toHaveLength(1)
    for (const taker of takers) expect(await taker.tryLock(name)).toBeUndefined()
    for (const lock of locks) await lock?.release()
  }
})

test('tryLock acquires a lock despite a file in place of its folder or a desktop’s .DS_Store in the folder', async (context) => {
  const folder = await setUp(context)
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

test('tryLock replaces a symbolic link in place of a lock and leaves its target alone', async (context) => {
  const { base, path } = await setUp(context)
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

test('tryLock empties a folder in place of a lock, and rejects if a folder in it is not empty', async (context) => {
  const { path } = await setUp(context)
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

test('the holder renames its file every 10 s, so that no name lasts a whole lease', async (context) => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance', 'Date'] })
  context.onTestFinished(() => void vi.useRealTimers())
  const { path } = await setUp(context)
  const lock = await new DirCertCache(path).tryLock(key)
  const names = () => readdir(join(path, `${key}+lock`))
  const [first] = (await names()) as [string]
  expect(first).toMatch(/^[\da-f-]{36}\.0$/)
  vi.advanceTimersByTime(9_999)
  expect(await names()).toEqual([first])
  vi.advanceTimersByTime(1)
  await expect.poll(names).toEqual([first.replace(/0$/, '1')])
  expect(lock?.signal.aborted).toBe(false)
  await lock?.release()
})
