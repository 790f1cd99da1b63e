import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { inspect } from 'node:util'
import { afterEach, expect, test } from 'vitest'
import { StoreError } from '../../../src/index.js'
import { S3CertCache } from '../../../src/stores/s3/index.js'
import { openBucket, secrets } from './support.js'

const closers: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of closers.splice(0)) await close()
})

async function setUp() {
  const bucket = await openBucket()
  closers.push(bucket.close)
  return bucket
}

const failure = async (promise: Promise<unknown>) => {
  const error: unknown = await promise.then(
    () => expect.unreachable('it should have failed'),
    (reason: unknown) => reason,
  )
  expect(error).toBeInstanceOf(StoreError)
  return error as StoreError
}

test('get, put and delete take one request each, a miss included', async () => {
  const { tap, store } = await setUp()
  const cache = store()
  expect(await cache.get('a.example')).toBeUndefined()
  await cache.put('a.example', Buffer.from('one'))
  expect(Buffer.from((await cache.get('a.example')) ?? []).toString()).toBe('one')
  await cache.delete('a.example')
  await cache.delete('a.example')
  expect(tap.take()).toEqual(
    ['GET', 'PUT', 'GET', 'DELETE', 'DELETE'].map((method) => `${method} certificates/a.example`),
  )
})

test('an object that is too large for a certificate is not read into memory', async () => {
  const { store } = await setUp()
  const cache = store()
  await cache.put('a.example', Buffer.alloc(16 * 1024 * 1024))
  expect(await cache.get('a.example')).toHaveLength(16 * 1024 * 1024)
  await cache.put('a.example', Buffer.alloc(16 * 1024 * 1024 + 1))
  expect(await failure(cache.get('a.example'))).toMatchObject({ code: 'ERR_STORE_ENTRY' })
})

test('+ and space are encoded so that no service takes one for the other', async () => {
  const { s3, store } = await setUp()
  const cache = store({ prefix: 'tls/a+b c/' })
  await cache.put('a.example+rsa', Buffer.from('x'))
  await cache.put('a b', Buffer.from('y'))
  expect(s3.take().map(({ url }) => url.split('?', 1)[0])).toEqual([
    '/certificates/tls/a%2Bb%20c/a.example%2Brsa',
    '/certificates/tls/a%2Bb%20c/a%20b',
  ])
  expect([...s3.objects.keys()]).toEqual(['tls/a+b c/a.example+rsa', 'tls/a+b c/a b'])
  const names: string[] = []
  for await (const { name } of cache.list()) names.push(name)
  expect(names).toEqual(['a b', 'a.example+rsa'])
})

test.each([
  [undefined, 'AES256'],
  ['AES256', 'AES256'],
  ['aws:kms', 'aws:kms'],
  ['none', undefined],
] as const)('serverSideEncryption %s sends %s, with locks too', async (serverSideEncryption, header) => {
  const { s3, store } = await setUp()
  const cache = store(serverSideEncryption ? { serverSideEncryption } : {})
  await cache.put('a.example', Buffer.from('x'))
  await (await cache.tryLock('a.example'))?.release()
  const writes = s3.take().filter(({ method }) => method === 'PUT')
  expect(writes.length).toBeGreaterThan(3)
  expect(new Set(writes.map(({ headers }) => headers['x-amz-server-side-encryption']))).toEqual(
    new Set([header]),
  )
})

test('list goes page by page, and passes over what is no key of this store', async () => {
  const { s3, tap, store } = await setUp()
  const cache = store({ prefix: 'tls/' })
  for (const key of ['a', 'b&c', "d'e", 'f+rsa', 'g']) await cache.put(key, Buffer.from('123'))
  const foreign = { data: Buffer.from('x'), etag: '"x"', modified: new Date() }
  for (const key of ['tls/h:i', 'tls/folder/j', 'other', 'tls/']) s3.objects.set(key, foreign)
  tap.take()
  const names: string[] = []
  for await (const { name, size, modified } of cache.list()) {
    expect(modified.getTime()).toBeGreaterThan(Date.now() - 60_000)
    expect(size).toBe(3)
    names.push(name)
    // No page is asked for before it is needed.
    expect(tap.requests.length).toBeLessThanOrEqual(Math.ceil((names.length + 1) / 2))
  }
  expect(names).toEqual(['a', 'b&c', "d'e", 'f+rsa', 'g'])
})

test('only NoSuchKey is a miss; everything else tells what to do', async () => {
  const { tap, store } = await setUp()
  const cache = store()
  const answers = [
    [404, 'NoSuchBucket', 'ERR_STORE_CONTAINER', /Create the bucket/],
    [301, 'PermanentRedirect', 'ERR_STORE_CONTAINER', /region/],
    [404, 'NotFound', 'ERR_STORE_FAILED', /cause/],
    [403, 'AccessDenied', 'ERR_STORE_PERMISSION', /s3:ListBucket/],
    [403, 'SignatureDoesNotMatch', 'ERR_STORE_CREDENTIALS', /access key/],
    [403, 'InvalidAccessKeyId', 'ERR_STORE_CREDENTIALS', /access key/],
    [403, 'RequestTimeTooSkewed', 'ERR_STORE_CREDENTIALS', /clock/],
    [400, 'ExpiredToken', 'ERR_STORE_CREDENTIALS', /expired/],
    [401, 'Unauthorized', 'ERR_STORE_CREDENTIALS', /access key/],
    [500, 'InternalError', 'ERR_STORE_FAILED', /InternalError, status 500/],
    [503, 'SlowDown', 'ERR_STORE_FAILED', /SlowDown/],
  ] as const
  for (const [status, code, expected, advice] of answers) {
    tap.fault(() => ({ status, code }))
    const list = async () => {
      for await (const _ of cache.list()) expect.unreachable()
    }
    for (const operation of [
      () => cache.get('a.example'),
      () => cache.put('a.example', Buffer.from('x')),
      () => cache.delete('a.example'),
      () => cache.tryLock('a.example'),
      list,
    ]) {
      const error = await failure(operation())
      expect(error).toMatchObject({ code: expected, statusCode: status })
      expect(error.message).toMatch(advice)
    }
  }
})

test('a bucket that is not there is an error', async () => {
  const { store } = await setUp()
  const error = await failure(store({ bucket: 'is-not-there' }).get('a.example'))
  expect(error.code).toBe('ERR_STORE_CONTAINER')
  expect(error.message).toContain('is-not-there')
})

test('no answer is an error: unreachable, reset, too late, cut short', async () => {
  const { tap, store } = await setUp()
  const cache = store({ timeoutMs: 300 })
  await cache.put('a.example', Buffer.from('a value of some length'))
  tap.fault(() => 'reset')
  expect((await failure(cache.get('a.example'))).code).toBe('ERR_STORE_UNREACHABLE')
  for (const fault of ['hang', 'stall in the body'] as const) {
    tap.fault(() => fault)
    const error = await failure(cache.get('a.example'))
    expect(error).toMatchObject({ code: 'ERR_STORE_TIMEOUT' })
    expect(error.message).toMatch(/300 ms/)
  }
  const refused = store({ client: { endpoint: 'http://127.0.0.1:1' } })
  expect((await failure(refused.get('a.example'))).code).toBe('ERR_STORE_UNREACHABLE')
  const unknown = store({ client: { endpoint: 'http://nowhere.invalid' } })
  expect((await failure(unknown.get('a.example'))).message).toMatch(/DNS/)
})

test('a body that ends early is an error, and one that stalls does not keep its connection', async () => {
  let answer: 'ends' | 'stalls' = 'ends'
  let open = 0
  const server = createServer((_, res) => {
    res.writeHead(200, { etag: '"x"', 'content-length': 100 })
    res.write('begins', () => answer === 'ends' && res.destroy())
  })
  server.on('connection', (socket) => {
    open += 1
    socket.on('close', () => {
      open -= 1
    })
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  closers.push(async () => {
    server.closeAllConnections()
    await once(server.close(), 'close')
  })
  const { store } = await setUp()
  const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const cache = store({ timeoutMs: 300, client: { endpoint } })
  await failure(cache.get('a.example'))
  answer = 'stalls'
  expect((await failure(cache.get('a.example'))).code).toBe('ERR_STORE_TIMEOUT')
  await expect.poll(() => open).toBe(0)
})

test('an aborted signal rejects with its reason, before and during a request', async () => {
  const { tap, store } = await setUp()
  const cache = store()
  const reason = new Error('enough')
  await expect(cache.get('a.example', { signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
  tap.fault(() => 'hang')
  tap.take()
  const controller = new AbortController()
  const reading = expect(cache.get('a.example', { signal: controller.signal })).rejects.toBe(reason)
  await expect.poll(() => tap.requests.length).toBe(1)
  controller.abort(reason)
  await reading
})

/** Asks for a lock, and aborts when the service has been asked for `what`. */
async function abortedAt(
  cache: S3CertCache,
  tap: Awaited<ReturnType<typeof setUp>>['tap'],
  what: string,
  fault?: 'hang',
) {
  const controller = new AbortController()
  const reason = new Error('enough')
  tap.fault((method, path) => {
    if (`${method} ${path}`.includes(what)) controller.abort(reason)
    return fault
  })
  await expect(cache.tryLock('a.example', { signal: controller.signal })).rejects.toBe(reason)
}

test('a lock is waited for until the signal aborts, and no longer than the time-out; the first one, too', async () => {
  const { tap, store } = await setUp()
  const from = performance.now()
  const known = store()
  await (await known.tryLock('b.example'))?.release()
  await abortedAt(known, tap, 'a.example+lock', 'hang')
  await abortedAt(store(), tap, 'PUT', 'hang')
  expect(performance.now() - from).toBeLessThan(4_000)
  tap.fault(() => 'hang')
  expect((await failure(store({ timeoutMs: 300 }).tryLock('a.example'))).code).toBe('ERR_STORE_TIMEOUT')
})

test('all that the first lock takes has one time-out', async () => {
  // Each request is in time.
  const slow = { send: () => new Promise((resolve) => setTimeout(resolve, 400, { ETag: '"x"' })) }
  const error = await failure(new S3CertCache(slow, 'b', { timeoutMs: 600 }).tryLock('a.example'))
  expect(error.message).toMatch(/600 ms to lock a.example/)
})

test('a lock that is given after its caller has gone is given back', async () => {
  const { tap, s3, store } = await setUp()
  const cache = store()
  await (await cache.tryLock('b.example'))?.release()
  await abortedAt(cache, tap, 'PUT /certificates/a.example+lock')
  await expect.poll(() => String(s3.objects.get('a.example+lock')?.data)).toBe('released')
})

test('credentials that cannot be had are told as such', async () => {
  const { store } = await setUp()
  const cache = store({
    client: {
      credentials: () =>
        Promise.reject(Object.assign(new Error('none here'), { name: 'CredentialsProviderError' })),
    },
  })
  expect((await failure(cache.get('a.example'))).code).toBe('ERR_STORE_CREDENTIALS')
})

test('errors and the store itself show no secret', async () => {
  const { tap, store } = await setUp()
  const cache = store()
  const lock = await cache.tryLock('a.example')
  const shown = [inspect(cache, { depth: 10 }), inspect(lock, { depth: 10 })]
  for (const fault of ['reset', { status: 403, code: 'SignatureDoesNotMatch' }] as const) {
    tap.fault(() => fault)
    const error = await failure(cache.get('a.example'))
    shown.push(inspect(error, { depth: 10, showHidden: true }), JSON.stringify(error))
  }
  for (const text of shown) {
    for (const secret of [...Object.values(secrets), 'Signature=']) expect(text).not.toContain(secret)
  }
})

test('wrong options are refused, each by its name', () => {
  const client = { send: async () => ({}) }
  const wrong = [
    [() => new S3CertCache({} as never, 'b'), /client/],
    [() => new S3CertCache(client, ''), /bucket/],
    [() => new S3CertCache(client, { bucket: 'b' } as never), /bucket/],
    [() => new S3CertCache(client, 'b', 'tls/' as never), /options/],
    [() => new S3CertCache(client, 'b', null as never), /options/],
    [() => new S3CertCache(client, 'b', { prefix: 'a:b' }), /prefix/],
    [() => new S3CertCache(client, 'b', { prefix: 'é' }), /prefix/],
    [() => new S3CertCache(client, 'b', { timeoutMs: 0 }), /timeoutMs/],
    [() => new S3CertCache(client, 'b', { timeoutMs: 300_001 }), /timeoutMs/],
    [() => new S3CertCache(client, 'b', { serverSideEncryption: 'aes' as never }), /serverSideEncryption/],
  ] as const
  for (const [make, name] of wrong) {
    expect(make).toThrow(TypeError)
    expect(make).toThrow(name)
  }
})

test('an object key that S3 could not hold is refused before any request', async () => {
  const { tap, store } = await setUp()
  const cache = store({ prefix: `${'p'.repeat(1_000)}/` })
  expect((await failure(cache.get('a'.repeat(30)))).message).toMatch(/longer than 1024/)
  expect(tap.take()).toEqual([])
})
