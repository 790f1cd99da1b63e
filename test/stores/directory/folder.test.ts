// What is at the folder's path may change while a process runs.
import { chmod, mkdir, readdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, onTestFinished, test, vi } from 'vitest'
import { DirCertCache } from '../../../src/index.js'
import { openFolder } from './folder.js'

const key = 'a.example'
/** As long as a certificate with its key. */
const value = (text: string) => Buffer.from(text.padEnd(1_000))

async function setUp() {
  const folder = await openFolder()
  onTestFinished(() => folder.close())
  const { path, base } = folder
  const cache = new DirCertCache(path)
  const elsewhere = join(base, 'elsewhere')
  return { ...folder, cache, elsewhere, moveAway: () => rename(path, elsewhere) }
}

async function namesOf(cache: DirCertCache) {
  const names: string[] = []
  for await (const { name } of cache.list()) names.push(name)
  return names.sort()
}

type SetUp = Awaited<ReturnType<typeof setUp>>

const replacements: [string, (at: SetUp) => unknown][] = [
  ['nothing', () => undefined],
  ['an empty folder', ({ path }) => mkdir(path)],
  [
    'a folder with a value of that name',
    async ({ path }) => {
      await mkdir(path)
      await writeFile(join(path, key), value('other'))
    },
  ],
  ['a file', ({ path }) => writeFile(path, '')],
  [
    'a link to another folder',
    async ({ path, base }) => {
      await mkdir(join(base, 'other'))
      await symlink(join(base, 'other'), path)
    },
  ],
]

test.each(replacements)(
  'with %s in its place, every operation rejects and changes nothing, until the folder is back',
  async (_, replace) => {
    const context = await setUp()
    const { cache, path, elsewhere, base, moveAway } = context
    await cache.put(key, value('stored'))
    const lock = (await cache.tryLock(key)) ?? expect.unreachable()
    await moveAway()
    await replace(context)
    const before = await readdir(base, { recursive: true })
    const gone = { name: 'StoreError', code: 'ERR_STORE_CONTAINER', message: expect.stringContaining(path) }
    for (const operation of [
      () => cache.get(key),
      () => cache.get('b.example'),
      () => cache.put(key, value('new')),
      () => cache.put('b.example', value('new')),
      () => cache.delete(key),
      () => cache.delete('b.example'),
      () => cache.tryLock('b.example'),
      () => lock.release(),
      () => namesOf(cache),
    ]) {
      await expect(operation()).rejects.toMatchObject(gone)
    }
    expect(await readdir(base, { recursive: true })).toEqual(before)
    await rm(path, { recursive: true, force: true })
    await rename(elsewhere, path)
    expect(await cache.get(key)).toEqual(value('stored'))
    await cache.put('b.example', value('new'))
    await lock.release()
    expect(await readdir(path)).toEqual([key, 'b.example'])
  },
)

test('a folder that denies access after its first use is an ERR_STORE_CONTAINER', async () => {
  const { base, machine } = await setUp()
  const { ask } = await machine()
  expect(await ask({ do: 'put', key, value: 'stored' })).toEqual({})
  // Root is not subject to permissions.
  if (process.getuid?.() === 0) expect(await ask({ do: 'user' })).toEqual({})
  else await chmod(base, 0o000)
  for (const task of ['get', 'put', 'delete', 'lock', 'list']) {
    expect(await ask({ do: task, key })).toMatchObject({ error: { code: 'ERR_STORE_CONTAINER' } })
  }
  await chmod(base, 0o700)
})

test('a lock is neither renewed nor lost while the folder is replaced', async (context) => {
  const { cache, path, elsewhere, moveAway } = await setUp()
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance', 'Date'] })
  context.onTestFinished(() => void vi.useRealTimers())
  const lock = (await cache.tryLock(key)) ?? expect.unreachable()
  const [first] = await readdir(join(path, `${key}+lock`))
  await moveAway()
  await mkdir(join(path, `${key}+lock`), { recursive: true })
  vi.advanceTimersByTime(10_000)
  // A failed renewal starts the timer of the next one.
  await expect.poll(() => vi.getTimerCount()).toBe(2)
  expect(lock.signal.aborted).toBe(false)
  await rm(path, { recursive: true })
  await rename(elsewhere, path)
  vi.advanceTimersByTime(2_000)
  await expect.poll(() => readdir(join(path, `${key}+lock`))).toEqual([first?.replace(/0$/, '1')])
  expect(lock.signal.aborted).toBe(false)
  await lock.release()
})

test('a link to the folder, at its former path, is the same folder', async () => {
  const { cache, path, elsewhere, moveAway } = await setUp()
  await cache.put(key, value('stored'))
  await moveAway()
  await symlink(elsewhere, path)
  await cache.put('b.example', value('new'))
  expect(await readdir(elsewhere)).toEqual([key, 'b.example'])
})

test('another folder is accepted if it contains a value that was read or written', async () => {
  const { cache, path, moveAway } = await setUp()
  await cache.put('b.example', value('written'))
  await cache.put(key, value('written'))
  await moveAway()
  await mkdir(path)
  // Another machine has replaced the value that was written last.
  await writeFile(join(path, key), value('new'))
  await expect(cache.get(key)).rejects.toMatchObject({ code: 'ERR_STORE_CONTAINER' })
  await writeFile(join(path, 'b.example'), value('written'))
  expect(await cache.get(key)).toEqual(value('new'))
  await (await cache.tryLock(key))?.release()
})

test('another folder is not accepted for a short value, which other stores may contain', async () => {
  const { cache, path, moveAway } = await setUp()
  const short = Buffer.from('the last order found this store writable\n')
  await cache.put('acme_probe', short)
  await moveAway()
  await mkdir(path)
  await writeFile(join(path, 'acme_probe'), short)
  await expect(cache.get('acme_probe')).rejects.toMatchObject({ code: 'ERR_STORE_CONTAINER' })
})

test('another folder is accepted for one of the last 16 values only', async () => {
  const { cache, path, moveAway } = await setUp()
  for (let index = 0; index <= 16; index++) await cache.put(`h${index}.example`, value(`${index}`))
  await moveAway()
  await mkdir(path)
  await writeFile(join(path, 'h0.example'), value('0'))
  await expect(cache.get(key)).rejects.toMatchObject({ code: 'ERR_STORE_CONTAINER' })
  await writeFile(join(path, 'h1.example'), value('1'))
  expect(await cache.get(key)).toBeUndefined()
})

test('a list whose folder vanishes rejects instead of ending early', async () => {
  const { cache, moveAway } = await setUp()
  for (const name of ['a.example', 'b.example']) await cache.put(name, value(name))
  const list = cache.list()
  expect((await list.next()).done).toBe(false)
  await moveAway()
  await expect(list.next()).rejects.toMatchObject({ code: 'ERR_STORE_CONTAINER' })
})

test('a path in which no folder can be created is an error, not an endless loop', async () => {
  const cache = new DirCertCache('/proc/acme-cert-cache/certificates')
  // The file system checks the permission of users other than root first.
  const code = process.getuid?.() === 0 ? 'ERR_STORE_CONTAINER' : 'ERR_STORE_PERMISSION'
  await expect(cache.put(key, value('new'))).rejects.toMatchObject({ code })
  expect(await cache.get(key)).toBeUndefined()
})

test('operations fail without a free file descriptor, leave nothing behind, and succeed once there is one', async () => {
  const { path, machine } = await setUp()
  const { ask } = await machine({ descriptors: 100 })
  expect(await ask({ do: 'put', key, value: 'stored' })).toEqual({})
  expect(await ask({ do: 'list' })).toEqual({ value: [key] })
  await ask({ do: 'exhaust' })
  const exhausted = { code: 'ERR_STORE_FAILED', message: expect.stringContaining('EMFILE') }
  for (const task of ['get', 'put', 'lock', 'list', 'put', 'lock']) {
    expect(await ask({ do: task, key })).toEqual({ error: exhausted })
  }
  expect(await readFile(join(path, key), 'utf8')).toBe('stored')
  await ask({ do: 'free' })
  expect(await ask({ do: 'get', key })).toEqual({ value: 'stored' })
  expect(await ask({ do: 'put', key, value: 'new' })).toEqual({})
  expect(await ask({ do: 'lock', key })).toEqual({ value: { held: true } })
  expect(await ask({ do: 'release' })).toEqual({})
  expect(await ask({ do: 'list' })).toEqual({ value: [key] })
  expect(await ask({ do: 'openFiles' })).toEqual({ value: [] })
  expect(await readdir(path)).toEqual([key])
})
