import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { inspect } from 'node:util'
import { expect, onTestFinished, test, vi } from 'vitest'
import { StoreError } from '../../../src/index.js'
import { S3CertCache } from '../../../src/stores/s3/index.js'
import { openBucket, secrets } from './support.js'

async function setUp() {
  const bucket = await openBucket()
  onTestFinished(bucket.close)
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

test('get, put and delete send one request each, even for a miss', async () => {
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

test('get rejects an object larger than 16 MiB', async () => {
  const { store } = await setUp()
  const cache = store()
  await cache.put('a.example', Buffer.alloc(16 * 1024 * 1024))
  expect(await cache.get('a.example')).toHaveLength(16 * 1024 * 1024)
  await cache.put('a.example', Buffer.alloc(16 * 1024 * 1024 + 1))
  expect(await failure(cache.get('a.example'))).toMatchObject({ code: 'ERR_STORE_ENTRY' })
})

test('+ and space are percent-encoded, so that no service confuses them', async () => {
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
] as const)(
  'with serverSideEncryption %s, every write of a value or a lock has the header %s',
  async (serverSideEncryption, header) => {
    const { s3, store } = await setUp()
    const cache = store(serverSideEncryption ? { serverSideEncryption } : {})
    await cache.put('a.example', Buffer.from('x'))
    await (await cache.tryLock('a.example'))?.release()
    const writes = s3.take().filter(({ method }) => method === 'PUT')
    expect(writes.length).toBeGreaterThan(3)
    expect(new Set(writes.map(({ headers }) => headers['x-amz-server-side-encryption']))).toEqual(
      new Set([header]),
    )
  },
)

test('list reads page by page and skips objects whose names are not keys of this store', async () => {
  const { s3, tap, store } = await setUp()
  const from = Date.now()
  const cache = store({ prefix: 'tls/' })
  for (const key of ['a', 'b&c', "d'e", 'f+rsa', 'g']) await cache.put(key, Buffer.from('123'))
  const foreign = { data: Buffer.from('x'), etag: '"x"', modified: new Date() }
  for (const key of ['tls/h:i', 'tls/folder/j', 'other', 'tls/']) s3.objects.set(key, foreign)
  tap.take()
  const names: string[] = []
  for await (const { name, size, modified } of cache.list()) {
    // S3 reports times in whole seconds.
    expect(modified.getTime()).toBeGreaterThan(from - 1_000)
    expect(size).toBe(3)
    names.push(name)
    // No page is requested before it is needed.
    expect(tap.requests.length).toBeLessThanOrEqual(Math.ceil((names.length + 1) / 2))
  }
  expect(names).toEqual(['a', 'b&c', "d'e", 'f+rsa', 'g'])
})

test('only NoSuchKey is a miss; every other error response rejects with advice', async () => {
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

test('a missing bucket is an error', async () => {
  const { store } = await setUp()
  const error = await failure(store({ bucket: 'is-not-there' }).get('a.example'))
  expect(error.code).toBe('ERR_STORE_CONTAINER')
  expect(error.message).toContain('is-not-there')
})

test('get rejects if it receives no response: connection reset, connection refused, no DNS entry', async () => {
  const { tap, store } = await setUp()
  tap.fault(() => 'reset')
  expect((await failure(store().get('a.example'))).code).toBe('ERR_STORE_UNREACHABLE')
  const refused = store({ client: { endpoint: 'http://127.0.0.1:1' } })
  expect((await failure(refused.get('a.example'))).code).toBe('ERR_STORE_UNREACHABLE')
  const unknown = store({ client: { endpoint: 'http://nowhere.invalid' } })
  expect((await failure(unknown.get('a.example'))).message).toMatch(/DNS/)
})

test.each(['hang', 'stall in the body'] as const)('get times out: %s', async (fault) => {
  const { tap, store } = await setUp()
  await store().put('a.example', Buffer.from('a value of some length'))
  tap.fault(() => fault)
  const error = await failure(store({ timeoutMs: 300 }).get('a.example'))
  expect(error).toMatchObject({ code: 'ERR_STORE_TIMEOUT' })
  expect(error.message).toMatch(/300 ms/)
})

test('get rejects on a truncated body; on a stalled body it times out and closes the connection', async () => {
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
  onTestFinished(async () => {
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

test('get rejects with the reason of a signal that aborts before or during a request', async () => {
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

type Opened = Awaited<ReturnType<typeof setUp>>

/** Aborts a `tryLock` when the service receives a request that contains `part`. */
async function abortedAt(cache: S3CertCache, tap: Opened['tap'], part: string, fault?: 'hang') {
  const controller = new AbortController()
  const reason = new Error('enough')
  tap.fault((method, path) => {
    if (`${method} ${path}`.includes(part)) controller.abort(reason)
    return fault
  })
  await expect(cache.tryLock('a.example', { signal: controller.signal })).rejects.toBe(reason)
}

test('tryLock rejects when its signal aborts, even if the service does not answer', async () => {
  const { tap, store } = await setUp()
  // The first lock of a store is preceded by a test of the service.
  const [used, fresh] = [store({ timeoutMs: 300_000 }), store({ timeoutMs: 300_000 })]
  await (await used.tryLock('b.example'))?.release()
  await abortedAt(used, tap, 'a.example+lock', 'hang')
  await abortedAt(fresh, tap, 'PUT', 'hang')
})

test('tryLock sends no request if its signal is already aborted', async () => {
  const { tap, store } = await setUp()
  const cache = store()
  const reason = new Error('enough')
  await expect(cache.tryLock('a.example', { signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
  // A request that began before this one would have arrived by now.
  await cache.get('b.example')
  expect(tap.take()).toEqual(['GET certificates/b.example'])
})

test('tryLock times out when the service does not answer', async () => {
  const { tap, store } = await setUp()
  tap.fault(() => 'hang')
  expect((await failure(store({ timeoutMs: 300 }).tryLock('a.example'))).code).toBe('ERR_STORE_TIMEOUT')
})

test('each request of the first tryLock has its own time-out: a service that takes 4 s grants the lock', async () => {
  vi.useFakeTimers()
  onTestFinished(() => void vi.useRealTimers())
  const etags = new Map<string, string>()
  let writes = 0
  const refuse = (name: string, httpStatusCode: number) => {
    throw Object.assign(new Error(name), { name, $metadata: { httpStatusCode } })
  }
  const slow = {
    async send({
      input,
      constructor: { name },
    }: {
      input: Record<string, string>
      constructor: { name: string }
    }) {
      await new Promise((resolve) => setTimeout(resolve, 4_000))
      const { Key = '', IfNoneMatch, IfMatch } = input
      const current = etags.get(Key)
      if (name === 'GetObjectCommand' && !current) refuse('NoSuchKey', 404)
      if (name !== 'PutObjectCommand') return {}
      if ((IfNoneMatch && current) || (IfMatch && IfMatch !== current)) refuse('PreconditionFailed', 412)
      etags.set(Key, `"${++writes}"`)
      return { ETag: etags.get(Key) }
    },
  }
  const locked = new S3CertCache(slow as never, 'b', { timeoutMs: 5_000 }).tryLock('a.example')
  await vi.advanceTimersByTimeAsync(20_000)
  expect((await locked)?.signal.aborted).toBe(false)
})

test('an acquisition takes at most 25 s, whatever the time-out of a request', async () => {
  vi.useFakeTimers()
  onTestFinished(() => void vi.useRealTimers())
  const silent = { send: () => new Promise(() => {}) }
  const locked = failure(new S3CertCache(silent, 'b', { timeoutMs: 300_000 }).tryLock('a.example'))
  await vi.advanceTimersByTimeAsync(25_000)
  expect(await locked).toMatchObject({
    code: 'ERR_STORE_TIMEOUT',
    message: expect.stringMatching(/^cannot lock "a\.example" within 25 s/),
  })
})

test('tryLock releases a lock that is granted after its signal has aborted', async () => {
  const { tap, s3, store } = await setUp()
  const cache = store()
  await (await cache.tryLock('b.example'))?.release()
  await abortedAt(cache, tap, 'PUT /certificates/a.example+lock')
  await expect.poll(() => String(s3.objects.get('a.example+lock')?.data)).toBe('released')
})

test('get rejects with ERR_STORE_CREDENTIALS if the credentials cannot be loaded', async () => {
  const { store } = await setUp()
  const cache = store({
    client: {
      credentials: () =>
        Promise.reject(Object.assign(new Error('none here'), { name: 'CredentialsProviderError' })),
    },
  })
  expect((await failure(cache.get('a.example'))).code).toBe('ERR_STORE_CREDENTIALS')
})

test('inspecting the store, its locks and its errors shows no secret', async () => {
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

test('an object key longer than S3 allows is rejected before any request', async () => {
  const { tap, store } = await setUp()
  const cache = store({ prefix: `${'p'.repeat(1_000)}/` })
  expect((await failure(cache.get('a'.repeat(24)))).message).toMatch(/longer than 1024/)
  expect(tap.take()).toEqual([])
  expect(await cache.get('a'.repeat(23))).toBeUndefined()
})
