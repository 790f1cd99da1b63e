import { ContainerClient } from '@azure/storage-blob'
import { afterEach, expect, test } from 'vitest'
import { AzureBlobCertCache, CacheKeyError, type StoreError } from '../src/index.js'
import { azurite, freshContainer, serviceClient } from './support/azure.js'
import { openTap } from './support/tap.js'

const closers: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const close of closers.splice(0)) await close()
})

async function tappedContainer() {
  const { client, connect } = await freshContainer()
  const tap = await openTap(azurite().endpoint)
  closers.push(tap.close)
  return { client, tap, connect: { ...connect, endpoint: tap.endpoint }, at: `/${connect.containerName}` }
}

const failure = async (promise: Promise<unknown>) => {
  const error: unknown = await promise.then(
    () => expect.unreachable('it should have failed'),
    (reason: unknown) => reason,
  )
  expect(error).toBeInstanceOf(Error)
  return error as StoreError
}

test('get, put and delete take one request each, a miss included', async () => {
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

test('every byte and every size survives', async () => {
  const { connect } = await freshContainer()
  const cache = await AzureBlobCertCache.connect(connect)
  const all = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte))
  for (const value of [Buffer.alloc(0), all, Buffer.alloc(1_048_576, all)]) {
    await cache.put('tok_en-1+http-01', value)
    expect(Buffer.compare((await cache.get('tok_en-1+http-01')) as Uint8Array, value)).toBe(0)
  }
})

test('blobs are named and typed as azcertcache does, behind the prefix', async () => {
  const { client, connect } = await freshContainer()
  const cache = await AzureBlobCertCache.connect({ ...connect, prefix: 'tls/' })
  await cache.put('example.com+rsa', Buffer.from('x'))
  const properties = await client.getBlobClient('tls/example.com+rsa').getProperties()
  expect(properties.contentType).toBe('application/x-pem-file')
})

test('any ContainerClient of the SDK will do', async () => {
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
])('the key %j is refused before any request', async (key) => {
  const { tap, connect } = await tappedContainer()
  const cache = await AzureBlobCertCache.connect(connect)
  tap.take()
  for (const operation of [cache.get(key), cache.put(key, Buffer.from('x')), cache.delete(key)]) {
    expect(await failure(operation)).toBeInstanceOf(CacheKeyError)
  }
  expect(tap.take()).toEqual([])
})

test('connect tells what is wrong, and what to do', async () => {
  const { connect } = await freshContainer()
  const wrongKey = Buffer.from('wrong').toString('base64')
  const cases = [
    [{ ...connect, accountKey: wrongKey }, 'ERR_STORE_CREDENTIALS', /account name and key/],
    [{ ...connect, containerName: 'is-not-there' }, 'ERR_STORE_CONTAINER', /createContainer/],
    [{ ...connect, endpoint: 'http://127.0.0.1:1/fleet' }, 'ERR_STORE_UNREACHABLE', /endpoint/],
    [{ ...connect, endpoint: 'http://nowhere.invalid/fleet' }, 'ERR_STORE_UNREACHABLE', /DNS/],
  ] as const
  for (const [options, code, advice] of cases) {
    const error = await failure(AzureBlobCertCache.connect(options))
    expect(error).toMatchObject({ name: 'StoreError', code })
    expect(error.message).toMatch(advice)
  }
})

test('only BlobNotFound is a miss', async () => {
  const { tap, connect } = await tappedContainer()
  const cache = await AzureBlobCertCache.connect(connect)
  const answers = [
    [{ status: 404, code: 'ContainerNotFound' }, 'ERR_STORE_CONTAINER'],
    [{ status: 404, code: 'ResourceNotFound' }, 'ERR_STORE_FAILED'],
    [{ status: 403, code: 'AuthorizationPermissionMismatch' }, 'ERR_STORE_PERMISSION'],
    [{ status: 403, code: 'AuthenticationFailed' }, 'ERR_STORE_CREDENTIALS'],
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

test.each(['hang', 'stall in the body'] as const)(
  'a service that does this ends in a time-out: %s',
  async (fault) => {
    const { tap, connect } = await tappedContainer()
    const cache = await AzureBlobCertCache.connect({ ...connect, timeoutMs: 500 })
    await cache.put('a.example', Buffer.alloc(100_000, 'x'))
    tap.fault(() => fault)
    const error = await failure(cache.get('a.example'))
    expect(error).toMatchObject({ code: 'ERR_STORE_TIMEOUT' })
    expect(error.message).toContain('500 ms')
    tap.fault(() => undefined)
    expect(await cache.get('a.example')).toHaveLength(100_000)
  },
)

test('a caller’s signal ends an operation with its reason', async () => {
  const { tap, connect } = await tappedContainer()
  const cache = await AzureBlobCertCache.connect(connect)
  tap.fault(() => 'hang')
  const controller = new AbortController()
  const read = failure(cache.get('a.example', { signal: controller.signal }))
  const reason = new Error('enough')
  controller.abort(reason)
  expect(await read).toBe(reason)
})

test('a container is created only when asked for', async () => {
  const { connect } = await freshContainer()
  const missing = { ...connect, containerName: `${connect.containerName}-2` }
  await failure(AzureBlobCertCache.connect(missing))
  expect(await serviceClient().getContainerClient(missing.containerName).exists()).toBe(false)
  for (let twice = 0; twice < 2; twice++) {
    const cache = await AzureBlobCertCache.connect({ ...missing, createContainer: true })
    await cache.put('a.example', Buffer.from('x'))
  }
})

test.each(['blob', 'container'] as const)(
  'a container that anybody can read is refused: %s',
  async (access) => {
    const { client, connect } = await freshContainer()
    await client.setAccessPolicy(access)
    const error = await failure(AzureBlobCertCache.connect(connect))
    expect(error).toMatchObject({ name: 'StoreError', code: 'ERR_STORE_PUBLIC' })
    expect(error.message).toContain('allowAnonymousRead')
    const cache = await AzureBlobCertCache.connect({ ...connect, allowAnonymousRead: true })
    expect(await cache.get('a.example')).toBeUndefined()
  },
)

// What Azure answers to anonymous reads in a container that is private, or whose account allows none at all.
test.each([
  { status: 503, code: 'ServerBusy', retryAfter: 5 },
  { status: 400, code: 'InvalidHeaderValue' },
])('where it can’t be told whether anybody can read a container, connect fails: $status', async (fault) => {
  const { client, connect } = await freshContainer()
  await client.setAccessPolicy('blob')
  const tap = await openTap(azurite().endpoint)
  let reads = 0
  tap.fault(() => (++reads === 2 ? fault : undefined))
  const error = await failure(AzureBlobCertCache.connect({ ...connect, endpoint: tap.endpoint }))
  expect(error).toMatchObject({ name: 'StoreError', statusCode: fault.status })
  await tap.close()
})

test.each([
  { status: 404, code: 'ResourceNotFound' },
  { status: 409, code: 'PublicAccessNotPermitted' },
  { status: 401, code: 'NoAuthenticationInformation' },
])('a container that does not answer without credentials is private: $code', async (fault) => {
  const { tap, connect } = await tappedContainer()
  let reads = 0
  tap.fault(() => (++reads === 2 ? fault : undefined))
  const cache = await AzureBlobCertCache.connect(connect)
  expect(reads).toBe(2)
  expect(await cache.get('a.example')).toBeUndefined()
})

test.each([
  [{ status: 503, code: 'ServerBusy' }, 3],
  [{ status: 429, code: 'TooManyRequests' }, 3],
  [{ status: 500, code: 'InternalError' }, 3],
  ['reset', 3],
  [{ status: 403, code: 'AuthenticationFailed' }, 1],
  [{ status: 404, code: 'ContainerNotFound' }, 1],
  [{ status: 503, code: 'ServerBusy', retryAfter: 2 }, 1],
] as const)('what may pass is tried three times: %j', async (fault, times) => {
  const { tap, connect } = await tappedContainer()
  const cache = await AzureBlobCertCache.connect(connect)
  await cache.put('a.example', Buffer.from('x'))
  tap.take()
  let left = 2
  tap.fault(() => (left-- > 0 ? fault : undefined))
  const read = cache.get('a.example')
  if (times === 3) expect(await read).toHaveLength(1)
  else expect(await failure(read)).toBeInstanceOf(Error)
  expect(tap.take()).toHaveLength(times)
})

test('connects with a connection string', async () => {
  const { connect } = await freshContainer()
  const { accountName, accountKey, endpoint, containerName } = connect
  const connectionString = `DefaultEndpointsProtocol=http;AccountName=${accountName};AccountKey=${accountKey};BlobEndpoint=${endpoint};`
  const cache = await AzureBlobCertCache.connect({ connectionString, containerName })
  expect(await cache.get('a.example')).toBeUndefined()
})

test('connects with a SAS that can read, add, create, write and delete in one container', async () => {
  const { client, connect } = await freshContainer()
  const { containerName } = connect
  const expiresOn = new Date(Date.now() + 600_000)
  const { ContainerSASPermissions } = await import('@azure/storage-blob')
  const sas = await client.generateSasUrl({ permissions: ContainerSASPermissions.parse('racwd'), expiresOn })
  const cache = await AzureBlobCertCache.connect({ endpoint: sas, containerName })
  await cache.put('a.example', Buffer.from('x'))
  expect(await cache.get('a.example')).toHaveLength(1)
  await cache.delete('a.example')
  expect(await cache.get('a.example')).toBeUndefined()

  const readOnly = await client.generateSasUrl({ permissions: ContainerSASPermissions.parse('r'), expiresOn })
  const reader = await AzureBlobCertCache.connect({ endpoint: readOnly, containerName })
  const error = await failure(reader.put('a.example', Buffer.from('x')))
  expect(error).toMatchObject({ code: 'ERR_STORE_PERMISSION', statusCode: 403 })
  expect(error.message).toContain('read, add, create, write and delete')
})

test('a TokenCredential is asked for its token at start', async () => {
  const { connect } = await freshContainer()
  const { containerName } = connect
  const scopes: unknown[] = []
  const credential = {
    getToken: async (scope: string | string[]) => {
      scopes.push(scope)
      throw new Error('no identity here')
    },
  }
  const error = await failure(
    AzureBlobCertCache.connect({ containerName, credential, endpoint: 'https://fleet.invalid' }),
  )
  expect(scopes).toEqual(['https://storage.azure.com/.default'])
  expect(error).toMatchObject({ code: 'ERR_STORE_CREDENTIALS' })
  expect(error.message).toContain('no identity here')
})

test('no secret is in an error', async () => {
  const { client, connect } = await freshContainer()
  const { inspect } = await import('node:util')
  const { ContainerSASPermissions } = await import('@azure/storage-blob')
  const expiresOn = new Date(Date.now() + 600_000)
  const sas = await client.generateSasUrl({ permissions: ContainerSASPermissions.parse('r'), expiresOn })
  const signature = new URL(sas).searchParams.get('sig') as string
  const cache = await AzureBlobCertCache.connect({ endpoint: sas, containerName: connect.containerName })
  const errors = [
    await failure(cache.put('a.example', Buffer.from('PRIVATE'))),
    await failure(AzureBlobCertCache.connect({ ...connect, endpoint: 'http://127.0.0.1:1/fleet' })),
    await failure(AzureBlobCertCache.connect({ ...connect, containerName: 'is-not-there' })),
  ]
  for (const error of errors) {
    const shown = inspect(error, { depth: 10, showHidden: true }) + JSON.stringify(error)
    for (const secret of [signature, encodeURIComponent(signature), connect.accountKey, 'PRIVATE']) {
      expect(shown).not.toContain(secret)
    }
  }
})

test('a blob that is too large for a certificate is not read into memory', async () => {
  const { client, connect } = await freshContainer()
  const blob = client.getBlockBlobClient('a.example')
  await blob.upload(Buffer.alloc(16 * 1024 * 1024), 16 * 1024 * 1024)
  const cache = await AzureBlobCertCache.connect(connect)
  expect(await cache.get('a.example')).toHaveLength(16 * 1024 * 1024)
  await blob.upload(Buffer.alloc(16 * 1024 * 1024 + 1), 16 * 1024 * 1024 + 1)
  expect(await failure(cache.get('a.example'))).toMatchObject({ name: 'StoreError', code: 'ERR_STORE_ENTRY' })
})

const shared = { containerName: 'certs', accountName: 'account', accountKey: 'a2V5' }

test.each([
  [{ containerName: '' }, /containerName/],
  [{ containerName: 'a/../other', accountName: 'account', accountKey: 'a2V5' }, /containerName/],
  [{ containerName: 'certs' }, /exactly one of/],
  [{ containerName: 'certs', accountKey: 'a2V5' }, /accountName/],
  [{ containerName: 'certs', accountName: 5, accountKey: 'a2V5' }, /accountName/],
  [{ containerName: 'certs', accountName: 'evil.example/x', accountKey: 'a2V5' }, /accountName/],
  [{ ...shared, connectionString: 'x' }, /exactly one of/],
  [{ containerName: 'certs', connectionString: 'rubbish' }, /connectionString/],
  [{ containerName: 'certs', connectionString: 'AccountName=a;AccountKey=c2VjcmV0' }, /connectionString/],
  [{ containerName: 'certs', connectionString: 'x', endpoint: 'https://a.example' }, /connectionString/],
  [{ ...shared, endpoint: 'not a url' }, /endpoint/],
  [{ containerName: 'certs', credential: {} }, /credential/],
  [{ containerName: 'certs', credential: { getToken() {} } }, /accountName or endpoint/],
  [{ ...shared, timeoutMs: -1 }, /timeoutMs/],
  [{ ...shared, prefix: 'a:b' }, /prefix/],
  [{ ...shared, createContainer: 'yes' }, /createContainer/],
  [{ ...shared, allowAnonymousRead: 'no' }, /allowAnonymousRead/],
  [undefined, /options/],
])('connect with %o is a TypeError that names the option', async (options, named) => {
  const error = await failure(AzureBlobCertCache.connect(options as never))
  expect(error).toBeInstanceOf(TypeError)
  expect(error.message).toMatch(named)
  expect(error.message).not.toMatch(/a2V5|c2VjcmV0/)
})

test('the constructor takes nothing but a ContainerClient', () => {
  expect(() => new AzureBlobCertCache({} as never)).toThrow(TypeError)
  expect(() => new AzureBlobCertCache(new ContainerClient('http://localhost/c'), { timeoutMs: 0 })).toThrow(
    /timeoutMs/,
  )
})
