import { ContainerClient, StorageSharedKeyCredential } from '@azure/storage-blob'
import { expect, onTestFinished, test, vi } from 'vitest'
import { AzureBlobCertCache, CacheKeyError, StoreError } from '../../../src/index.js'
import { failure } from '../../support/azure.js'
import { freshContainer, tappedContainer } from './containers.js'

test('get, put and delete send one request each, even for a miss', async () => {
  const { tap, connect, at } = await tappedContainer()
  const cache = await AzureBlobCertCache.connect(connect)
  // Once with credentials, once without.
  const connecting = `GET ${at}/acme-cert-cache/connect`
  expect(tap.take()).toEqual([connecting, connecting])
  expect(await cache.get('example.com')).toBeUndefined()
  await cache.put('example.com', Buffer.from('one'))
  await cache.put('example.com', Buffer.from('two'))
  expect(Buffer.from((await cache.get('example.com')) ?? []).toString()).toBe('two')
  await cache.delete('example.com')
  await cache.delete('example.com')
  expect(await cache.get('example.com')).toBeUndefined()
  const blob = `${at}/example.com`
  expect(tap.take()).toEqual(
    ['GET', 'PUT', 'PUT', 'GET', 'DELETE', 'DELETE', 'GET'].map((method) => `${method} ${blob}`),
  )
})

test('get returns values of every byte, empty values and values of 1 MiB unchanged', async () => {
  const { connect } = await freshContainer()
  const cache = await AzureBlobCertCache.connect(connect)
  const all = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte))
  for (const value of [Buffer.alloc(0), all, Buffer.alloc(1_048_576, all)]) {
    await cache.put('tok_en-1+http-01', value)
    expect(Buffer.compare((await cache.get('tok_en-1+http-01')) as Uint8Array, value)).toBe(0)
  }
})

test('blobs have azcertcache’s names, after the prefix, and its content type', async () => {
  const { client, connect } = await freshContainer()
  const cache = await AzureBlobCertCache.connect({ ...connect, prefix: 'tls/' })
  await cache.put('example.com+rsa', Buffer.from('x'))
  const properties = await client.getBlobClient('tls/example.com+rsa').getProperties()
  expect(properties.contentType).toBe('application/x-pem-file')
})

test('the constructor accepts any ContainerClient of the SDK', async () => {
  const { client } = await freshContainer()
  const cache = new AzureBlobCertCache(client)
  await cache.put('a.example', Buffer.from('x'))
  expect(await cache.get('a.example')).toHaveLength(1)
})

test.each([
  '',
  '.',
  '..',
  'a/b',
  'a\\b',
  'a:b',
  'a*b',
  'a?b',
  'a"b',
  'a<b',
  'a>b',
  'a|b',
  'a\nb',
  'é',
  '\u0000',
])('the key %j is rejected before any request', async (key) => {
  const { tap, connect } = await tappedContainer()
  const cache = await AzureBlobCertCache.connect(connect)
  tap.take()
  for (const operation of [cache.get(key), cache.put(key, Buffer.from('x')), cache.delete(key)]) {
    expect(await failure(operation)).toBeInstanceOf(CacheKeyError)
  }
  expect(tap.take()).toEqual([])
})

test('only BlobNotFound is a miss', async () => {
  const { tap, connect } = await tappedContainer()
  const cache = await AzureBlobCertCache.connect(connect)
  const answers = [
    [{ status: 404, code: 'ContainerNotFound' }, 'ERR_STORE_CONTAINER'],
    [{ status: 404, code: 'ResourceNotFound' }, 'ERR_STORE_FAILED'],
    [{ status: 403, code: 'AuthorizationPermissionMismatch' }, 'ERR_STORE_PERMISSION'],
    [{ status: 403, code: 'AuthenticationFailed' }, 'ERR_STORE_CREDENTIALS'],
    [{ status: 403, code: 'KeyBasedAuthenticationNotPermitted' }, 'ERR_STORE_CREDENTIALS'],
    [{ status: 401, code: 'InvalidAuthenticationInfo' }, 'ERR_STORE_CREDENTIALS'],
    [{ status: 409, code: 'AccountBeingCreated' }, 'ERR_STORE_FAILED'],
    [{ status: 500, code: 'InternalError' }, 'ERR_STORE_FAILED'],
    [{ status: 503, code: 'ServerBusy' }, 'ERR_STORE_FAILED'],
    ['reset', 'ERR_STORE_UNREACHABLE'],
  ] as const
  for (const [fault, code] of answers) {
    tap.fault(() => fault)
    expect(await failure(cache.get('a.example'))).toMatchObject({ name: 'StoreError', code })
  }
  tap.fault(() => ({ status: 404, code: 'BlobNotFound' }))
  expect(await cache.get('a.example')).toBeUndefined()
})

test.each(['hang', 'stall in the body'] as const)('get times out: %s', async (fault) => {
  const { tap, connect } = await tappedContainer()
  const cache = await AzureBlobCertCache.connect(connect)
  await cache.put('a.example', Buffer.alloc(100_000, 'x'))
  const { accountName, accountKey, endpoint, containerName } = connect
  const credential = new StorageSharedKeyCredential(accountName, accountKey)
  const client = new ContainerClient(`${endpoint}/${containerName}`, credential)
  tap.fault(() => fault)
  const error = await failure(new AzureBlobCertCache(client, { timeoutMs: 500 }).get('a.example'))
  expect(error).toMatchObject({ code: 'ERR_STORE_TIMEOUT' })
  expect(error.message).toContain('500 ms')
  tap.fault(() => undefined)
  expect(await cache.get('a.example')).toHaveLength(100_000)
})

test('get rejects with the reason of the caller’s signal', async () => {
  const { tap, connect } = await tappedContainer()
  const cache = await AzureBlobCertCache.connect(connect)
  tap.fault(() => 'hang')
  const controller = new AbortController()
  const read = failure(cache.get('a.example', { signal: controller.signal }))
  const reason = new Error('enough')
  controller.abort(reason)
  expect(await read).toBe(reason)
})

// retry.test.ts covers the other responses in virtual time.
const transient = [[{ status: 503, code: 'ServerBusy' }], ['reset']] as const

test.each(transient)('get retries twice and then succeeds: %j', async (fault) => {
  const { tap, connect } = await tappedContainer()
  const cache = await AzureBlobCertCache.connect(connect)
  await cache.put('a.example', Buffer.from('x'))
  tap.take()
  let failures = 2
  tap.fault(() => (failures-- > 0 ? fault : undefined))
  expect(await cache.get('a.example')).toHaveLength(1)
  expect(tap.take()).toHaveLength(3)
})

test.each(transient)('get fails after three attempts: %j', async (fault) => {
  const { tap, connect } = await tappedContainer()
  const cache = await AzureBlobCertCache.connect(connect)
  tap.take()
  tap.fault(() => fault)
  expect(await failure(cache.get('a.example'))).toBeInstanceOf(StoreError)
  expect(tap.take()).toHaveLength(3)
})

test.each([
  [{ status: 403, code: 'AuthenticationFailed' }],
  [{ status: 404, code: 'ContainerNotFound' }],
  [{ status: 503, code: 'ServerBusy', retryAfter: 2 }],
])('get does not retry: %j', async (fault) => {
  const { tap, connect } = await tappedContainer()
  const cache = await AzureBlobCertCache.connect(connect)
  tap.take()
  tap.fault(() => fault)
  expect(await failure(cache.get('a.example'))).toBeInstanceOf(StoreError)
  expect(tap.take()).toHaveLength(1)
})

test('get rejects a blob larger than 16 MiB', async () => {
  const { client, connect } = await freshContainer()
  const blob = client.getBlockBlobClient('a.example')
  await blob.upload(Buffer.alloc(16 * 1024 * 1024), 16 * 1024 * 1024)
  const cache = await AzureBlobCertCache.connect(connect)
  expect(await cache.get('a.example')).toHaveLength(16 * 1024 * 1024)
  await blob.upload(Buffer.alloc(16 * 1024 * 1024 + 1), 16 * 1024 * 1024 + 1)
  expect(await failure(cache.get('a.example'))).toMatchObject({ name: 'StoreError', code: 'ERR_STORE_ENTRY' })
})

test('the constructor throws for anything other than a ContainerClient', () => {
  expect(() => new AzureBlobCertCache({} as never)).toThrow(TypeError)
  expect(() => new AzureBlobCertCache(new ContainerClient('http://localhost/c'), { timeoutMs: 0 })).toThrow(
    /timeoutMs/,
  )
})

/** A container that counts the blobs it is asked for, and never answers. */
function hungContainer() {
  const names: string[] = []
  const getBlockBlobClient = (name: string) => {
    names.push(name)
    return { download: () => new Promise(() => {}) }
  }
  return { names, container: { containerName: 'certs', getBlockBlobClient } as never }
}

test('an operation times out after 5 s unless timeoutMs is set', async () => {
  vi.useFakeTimers()
  onTestFinished(() => void vi.useRealTimers())
  const settled: unknown[] = []
  const read = new AzureBlobCertCache(hungContainer().container).get('a.example')
  read.catch((error) => settled.push(error))
  await vi.advanceTimersByTimeAsync(4_999)
  expect(settled).toEqual([])
  await vi.advanceTimersByTimeAsync(1)
  expect(settled).toMatchObject([{ code: 'ERR_STORE_TIMEOUT' }])
})

test('a blob name longer than 1,024 characters is rejected before any request', async () => {
  const { names, container } = hungContainer()
  const cache = new AzureBlobCertCache(container, { prefix: `${'p'.repeat(1_000)}/` })
  const tooLong = 'a'.repeat(24)
  for (const operation of [
    () => cache.get(tooLong),
    () => cache.put(tooLong, Buffer.from('x')),
    () => cache.delete(tooLong),
    () => cache.tryLock(tooLong.slice(5)),
  ]) {
    expect(await failure(operation())).toMatchObject({ code: 'ERR_STORE_ENTRY' })
  }
  expect(names).toEqual([])
  void cache.get(tooLong.slice(1)).catch(() => undefined)
  expect(names.map(({ length }) => length)).toEqual([1_024])
})
