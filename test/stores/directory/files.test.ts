import { execFileSync } from 'node:child_process'
import {
  chmod,
  lstat,
  lutimes,
  mkdir,
  readdir,
  readFile,
  stat,
  symlink,
  truncate,
  utimes,
  writeFile,
} from 'node:fs/promises'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { DirCertCache } from '../../../src/index.js'
import { toStoreError } from '../../../src/stores/directory/errors.js'
import { openFolder } from './folder.js'

const key = 'a.example'
const bytes = (text: string) => Buffer.from(text)

async function setUp() {
  const folder = await openFolder()
  onTestFinished(() => folder.close())
  return { ...folder, cache: new DirCertCache(folder.path), file: (name: string) => join(folder.path, name) }
}

async function namesOf(cache: DirCertCache) {
  const names: string[] = []
  for await (const { name } of cache.list()) names.push(name)
  return names.sort()
}

/** The permission bits, in octal. */
const modeOf = async (path: string) => ((await stat(path)).mode & 0o777).toString(8)

test('a file has the name of its key and contains only the value, as in autocert’s folder', async () => {
  const { cache, path, file } = await setUp()
  const names = ['acme_account+key', 'example.com', 'example.com+rsa', 'example.com+token', 'x_-1+http-01']
  for (const name of names) await cache.put(name, bytes(`value of ${name}`))
  expect((await readdir(path)).sort()).toEqual(names)
  expect(await readFile(file('example.com+rsa'), 'utf8')).toBe('value of example.com+rsa')
  await writeFile(file('go.example'), 'written by Go', { mode: 0o600 })
  expect(String(await cache.get('go.example'))).toBe('written by Go')
  await cache.delete('go.example')
  expect(await readdir(path)).not.toContain('go.example')
})

test('the first write creates the folder; only the owner can access the folder and its files', async () => {
  const { cache, path, file } = await setUp()
  expect(await cache.get(key)).toBeUndefined()
  await cache.delete(key)
  expect(await namesOf(cache)).toEqual([])
  await expect(stat(path)).rejects.toMatchObject({ code: 'ENOENT' })
  await cache.put(key, bytes('value'))
  expect([await modeOf(path), await modeOf(file(key))]).toEqual(['700', '600'])
  const lock = await cache.tryLock(key)
  expect(await modeOf(file(`${key}+lock`))).toBe('700')
  const [holder] = (await readdir(file(`${key}+lock`))) as [string]
  expect(await modeOf(file(`${key}+lock/${holder}`))).toBe('600')
  await lock?.release()
})

test('tryLock creates the folder and its parents', async () => {
  const { path } = await setUp()
  const cache = new DirCertCache(join(path, 'b', 'c'))
  expect(await (await cache.tryLock(key))?.release()).toBeUndefined()
  expect(await modeOf(join(path, 'b', 'c'))).toBe('700')
})

test('a file in place of the folder is an error', async () => {
  const { cache, path } = await setUp()
  await writeFile(path, '')
  const operations = [cache.get(key), cache.put(key, bytes('')), cache.delete(key), cache.tryLock(key)]
  for (const outcome of await Promise.allSettled(operations)) {
    expect(outcome).toMatchObject({ status: 'rejected', reason: { code: 'ERR_STORE_CONTAINER' } })
  }
})

test('a symbolic link is not followed: get rejects, put and delete leave its target alone', async () => {
  const { cache, base, file } = await setUp()
  const secret = join(base, 'secret')
  await writeFile(secret, 'not a certificate')
  await cache.put('b.example', bytes('value'))
  await symlink(secret, file(key))
  await expect(cache.get(key)).rejects.toMatchObject({ code: 'ERR_STORE_ENTRY' })
  expect(await namesOf(cache)).toEqual(['b.example'])
  await cache.put(key, bytes('value'))
  expect((await lstat(file(key))).isFile()).toBe(true)
  await symlink(secret, file('c.example'))
  await cache.delete('c.example')
  expect(await readFile(secret, 'utf8')).toBe('not a certificate')
})

test('get rejects at once if a folder or a pipe is in place of the file', async () => {
  const { cache, file } = await setUp()
  await cache.put(key, bytes('value'))
  await mkdir(file('folder.example'))
  execFileSync('mkfifo', [file('pipe.example')])
  for (const name of ['folder.example', 'pipe.example']) {
    await expect(cache.get(name)).rejects.toMatchObject({
      code: 'ERR_STORE_ENTRY',
      message: expect.stringContaining('it is not a regular file (EISDIR)'),
    })
  }
  expect(await namesOf(cache)).toEqual([key])
})

test('get rejects a file larger than 16 MiB', async () => {
  const { cache, file } = await setUp()
  await cache.put(key, bytes('value'))
  await truncate(file(key), 16 * 1024 * 1024 + 1)
  await expect(cache.get(key)).rejects.toMatchObject({ code: 'ERR_STORE_ENTRY' })
})

test('a name that is too long for the file system causes an error that says so', async () => {
  const { cache } = await setUp()
  const long = 'a'.repeat(256)
  const tooLong = { code: 'ERR_STORE_ENTRY', message: expect.stringContaining('255 bytes') }
  await expect(cache.put(long, bytes(''))).rejects.toMatchObject(tooLong)
  await expect(cache.get(long)).rejects.toMatchObject(tooLong)
  await expect(cache.tryLock(long.slice(4))).rejects.toMatchObject(tooLong)
  expect(await namesOf(cache)).toEqual([])
})

test('missing file permissions cause an error that says what to do', async () => {
  const { base, machine, path, cache } = await setUp()
  await cache.put(key, bytes('value'))
  await chmod(base, 0o755)
  const { ask } = await machine()
  // Root is not subject to permissions.
  if (process.getuid?.() === 0) expect(await ask({ do: 'user' })).toEqual({})
  else await chmod(path, 0o000)
  const forbidden = {
    error: {
      code: 'ERR_STORE_PERMISSION',
      message: expect.stringMatching(/denied access \(EACCES\)\. Give the user/),
    },
  }
  for (const task of ['get', 'put', 'delete']) expect(await ask({ do: task, key })).toEqual(forbidden)
  const locked = { error: { ...forbidden.error, code: 'ERR_STORE_FAILED' } }
  expect(await ask({ do: 'lock', key })).toEqual(locked)
  await chmod(path, 0o700)
})

test.each([
  ['EPERM', 'ERR_STORE_PERMISSION'],
  ['EROFS', 'ERR_STORE_FAILED'],
  ['ESTALE', 'ERR_STORE_UNREACHABLE'],
  ['EIO', 'ERR_STORE_UNREACHABLE'],
  ['ETIMEDOUT', 'ERR_STORE_UNREACHABLE'],
  ['EHOSTDOWN', 'ERR_STORE_UNREACHABLE'],
  ['ENOTCONN', 'ERR_STORE_UNREACHABLE'],
  ['ENODEV', 'ERR_STORE_UNREACHABLE'],
  ['EEXIST', 'ERR_STORE_CONTAINER'],
  ['EDQUOT', 'ERR_STORE_FAILED'],
  ['ENFILE', 'ERR_STORE_FAILED'],
  ['ENOSPC', 'ERR_STORE_FAILED'],
  ['EMFILE', 'ERR_STORE_FAILED'],
  ['ESOMETHING', 'ERR_STORE_FAILED'],
])('the system error %s maps to %s', (errno, code) => {
  const cause = Object.assign(new Error('of the system'), { code: errno })
  const error = toStoreError(cause, 'read "a.example"', '/srv/certificates')
  expect(error).toMatchObject({ code, cause })
  expect(error.message).toMatch(/^cannot read "a\.example" from folder "\/srv\/certificates": .*\.$/)
  expect(error.message).toContain(` (${errno}). `)
})

test('a killed writer leaves a complete value; its temporary files are not listed, and removed once they are old', async () => {
  const { cache, path, file, machine } = await setUp()
  for (let round = 0; round < 3; round++) {
    const { ask, kill } = await machine()
    await ask({ do: 'write', key })
    await kill()
    const value = (await cache.get(key)) ?? expect.unreachable()
    expect(value.byteLength).toBe(1_000_000)
    expect(Buffer.compare(value, Buffer.alloc(1_000_000, value[0]))).toBe(0)
  }
  // Temporary files of other killed writers: a new one and old ones.
  await writeFile(file('1:tmp'), 'of now')
  await mkdir(file('2:tmp'))
  await writeFile(file('2:tmp/11111111-1111-4111-8111-111111111111.0'), 'of long ago')
  await mkdir(file('precious'))
  await symlink(file('precious'), file('3:tmp'))
  await writeFile(file('precious/11111111-1111-4111-8111-111111111111.0'), 'behind a link')
  await utimes(file('2:tmp'), new Date(0), new Date(0))
  await lutimes(file('3:tmp'), new Date(0), new Date(0))
  expect(await namesOf(cache)).toEqual([key])
  await cache.put(key, bytes('value'))
  await expect.poll(() => readdir(path)).not.toContain('2:tmp')
  await expect.poll(() => readdir(path)).not.toContain('3:tmp')
  expect(await readdir(path)).toContain('1:tmp')
  expect(await readdir(file('precious'))).toHaveLength(1)
  expect(await namesOf(cache)).toEqual([key])
})

test('a failed write leaves no file behind', async () => {
  const { cache, path, file } = await setUp()
  await mkdir(file('folder.example'), { recursive: true })
  await expect(cache.put('folder.example', bytes('value'))).rejects.toMatchObject({
    code: 'ERR_STORE_ENTRY',
  })
  expect(await readdir(path)).toEqual(['folder.example'])
})

test('every operation times out on a file system that hangs', async () => {
  const { base, machine, cache, path } = await setUp()
  await cache.put(key, bytes('value'))
  // The only thread for file operations opens a pipe that has no writer, which hangs as a broken mount does.
  const pipe = join(base, 'pipe')
  execFileSync('mkfifo', [pipe])
  const hung = await Promise.all(
    ['get', 'put', 'delete', 'lock'].map(async (task) => {
      const { ask } = await machine({ env: { UV_THREADPOOL_SIZE: '1', TEST_HANG: pipe } })
      return ask({ do: task, key })
    }),
  )
  for (const { error } of hung) {
    expect(error?.code).toBe('ERR_STORE_TIMEOUT')
    expect(error?.message).toContain(path)
  }
})

test.each([undefined, '', 1, 'a\0b', new URL('file:///srv')])('throws a TypeError for path %s', (path) => {
  expect(() => new DirCertCache(path as string)).toThrow(TypeError)
})
