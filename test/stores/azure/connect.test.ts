import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, onTestFinished, test, vi } from 'vitest'
import { startAzurite } from '../../../demo/azurite.js'
import { AzureBlobCertCache } from '../../../src/index.js'
import { selfSignedCertificate } from '../../../src/testing/index.js'
import { azurite, failure, serviceClient } from '../../support/azure.js'
import { openTap } from '../../support/tap.js'
import { freshContainer, tappedContainer } from './containers.js'

test('connect rejects with an error that names the cause and the remedy', async () => {
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

test('the proxy of one connection is not that of the next', async () => {
  const { connect } = await freshContainer()
  const { accountName, accountKey, endpoint, containerName } = connect
  const connectionString = `DefaultEndpointsProtocol=http;AccountName=${accountName};AccountKey=${accountKey};BlobEndpoint=${endpoint};`
  onTestFinished(() => void vi.unstubAllEnvs())
  vi.stubEnv('HTTPS_PROXY', 'http://127.0.0.1:1')
  const error = await failure(AzureBlobCertCache.connect({ connectionString, containerName }))
  expect(error).toMatchObject({ code: 'ERR_STORE_UNREACHABLE' })
  vi.unstubAllEnvs()
  const cache = await AzureBlobCertCache.connect(connect)
  expect(await cache.get('a.example')).toBeUndefined()
})

test('connect creates a container only with createContainer', async () => {
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
  'connect refuses a container with public access unless allowAnonymousRead is set: %s',
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

test.each([
  { status: 503, code: 'ServerBusy', retryAfter: 5 },
  { status: 400, code: 'InvalidHeaderValue' },
])('connect rejects if it cannot determine whether a container is public: $status', async (fault) => {
  const { client, connect } = await freshContainer()
  await client.setAccessPolicy('blob')
  const tap = await openTap(azurite().endpoint)
  let reads = 0
  tap.fault(() => (++reads === 2 ? fault : undefined))
  const error = await failure(AzureBlobCertCache.connect({ ...connect, endpoint: tap.endpoint }))
  expect(error).toMatchObject({ name: 'StoreError', statusCode: fault.status })
  await tap.close()
})

// Azure's responses to anonymous reads if the container is private, or if its account allows none.
test.each([
  { status: 404, code: 'ResourceNotFound' },
  { status: 409, code: 'PublicAccessNotPermitted' },
  { status: 401, code: 'NoAuthenticationInformation' },
])('connect accepts a container as private if a read without credentials fails: $code', async (fault) => {
  const { tap, connect } = await tappedContainer()
  let reads = 0
  tap.fault(() => (++reads === 2 ? fault : undefined))
  const cache = await AzureBlobCertCache.connect(connect)
  expect(reads).toBe(2)
  expect(await cache.get('a.example')).toBeUndefined()
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

test('connect requests a token from the TokenCredential', async () => {
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

test('errors contain no secret', async () => {
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

const shared = { containerName: 'certs', accountName: 'account', accountKey: 'a2V5' }

test.each([
  [{ containerName: '' }, /containerName/],
  [{ containerName: 'a/../other', accountName: 'account', accountKey: 'a2V5' }, /containerName/],
  [{ containerName: 'certs' }, /exactly one of/],
  [{ ...shared, accountKey: undefined }, /: accountKey is undefined: set the variable/],
  [{ containerName: 'certs', connectionString: undefined }, /: connectionString is undefined/],
  [{ containerName: 'certs', accountKey: 'a2V5' }, /accountName/],
  [{ containerName: 'certs', accountName: 5, accountKey: 'a2V5' }, /accountName/],
  [{ containerName: 'certs', accountName: 'evil.example/x', accountKey: 'a2V5' }, /accountName/],
  [{ ...shared, connectionString: 'x' }, /exactly one of/],
  [{ containerName: 'certs', connectionString: 'rubbish' }, /connectionString/],
  [{ containerName: 'certs', connectionString: 'AccountName=a;AccountKey=c2VjcmV0' }, /connectionString/],
  [{ containerName: 'certs', connectionString: 'x', endpoint: 'https://a.example' }, /connectionString/],
  [{ ...shared, endpoint: 'not a url' }, /endpoint/],
  [{ containerName: 'certs', endpoint: 'https://a.blob.core.windows.net/other?sig=a2V5' }, /endpoint.*path/],
  [{ ...shared, endpoint: 'https://account.blob.core.windows.net/certs' }, /endpoint.*path/],
  [{ ...shared, endpoint: 'https://account.z01.blob.storage.azure.net/certs' }, /endpoint.*path/],
  [{ ...shared, endpoint: 'ftp://account.example' }, /endpoint/],
  [{ ...shared, containerName: 'ab' }, /containerName/],
  [{ ...shared, containerName: 'a'.repeat(64) }, /containerName/],
  [{ ...shared, accountName: 'ab' }, /accountName/],
  [{ ...shared, accountName: 'a'.repeat(25) }, /accountName/],
  [{ containerName: 'certs', credential: {} }, /credential/],
  [{ containerName: 'certs', credential: { getToken() {} } }, /accountName or endpoint/],
  [{ ...shared, timeoutMs: -1 }, /timeoutMs/],
  [{ ...shared, prefix: 'a:b' }, /prefix/],
  [{ ...shared, createContainer: 'yes' }, /createContainer/],
  [{ ...shared, allowAnonymousRead: 'no' }, /allowAnonymousRead/],
  [undefined, /options/],
])('connect with %o rejects with a TypeError that names the option', async (options, named) => {
  const error = await failure(AzureBlobCertCache.connect(options as never))
  expect(error).toBeInstanceOf(TypeError)
  expect(error.message).toMatch(named)
  expect(error.message).not.toMatch(/a2V5|c2VjcmV0/)
})

test('an identity authenticates with its token, and can put, lock, get and delete', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'azurite-https-'))
  onTestFinished(() => rm(folder, { recursive: true }))
  const { certificate, privateKey } = await selfSignedCertificate(['127.0.0.1'])
  const [cert, key] = [join(folder, 'cert.pem'), join(folder, 'key.pem')]
  await writeFile(cert, certificate)
  await writeFile(key, privateKey)
  const { endpoint, close } = await startAzurite(['--oauth=basic', `--cert=${cert}`, `--key=${key}`])
  onTestFinished(close)
  const script = fileURLToPath(new URL('../../support/token-login.js', import.meta.url))
  const env = { ...process.env, NODE_EXTRA_CA_CERTS: cert }
  const { stdout } = await promisify(execFile)(process.execPath, [script, endpoint], { env })
  expect(JSON.parse(stdout)).toEqual({
    value: 'value',
    locked: true,
    scopes: ['https://storage.azure.com/.default'],
  })
})

test('a container may have the same name as the account in an emulator’s endpoint', async () => {
  const { accountName } = azurite()
  await serviceClient().getContainerClient(accountName).createIfNotExists()
  const store = await AzureBlobCertCache.connect({ ...azurite(), containerName: accountName })
  await store.put('a.example', Buffer.from('x'))
  expect(await store.get('a.example')).toEqual(Buffer.from('x'))
})

test('error messages name the container, whatever the endpoint’s path', async () => {
  const { connect } = await freshContainer()
  const { containerName } = connect
  const connecting = AzureBlobCertCache.connect({ ...connect, endpoint: new URL(connect.endpoint).origin })
  await expect(connecting).rejects.toThrow(`cannot open container "${containerName}": `)
})

test('connect rejects with a one-line remedy if the credential returns no token', async () => {
  const credential = {
    getToken: async () => {
      throw new Error('tried in vain\n  this\n  and that')
    },
  }
  const connecting = AzureBlobCertCache.connect({ accountName: 'fleet', containerName: 'certs', credential })
  await expect(connecting).rejects.toMatchObject({
    code: 'ERR_STORE_CREDENTIALS',
    message: expect.stringMatching(
      /^cannot get a token from the credential: Error: tried in vain\. Check .*an identity.*$/,
    ),
  })
})

test('connect waits 60 s for the first token, then aborts the credential’s request', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  onTestFinished(() => void vi.useRealTimers())
  let connecting: Promise<unknown> | undefined
  const signal = await new Promise<AbortSignal | undefined>((resolve) => {
    const getToken = (_: unknown, request?: { abortSignal?: AbortSignal }) => {
      resolve(request?.abortSignal)
      return new Promise<never>(() => {})
    }
    const options = { accountName: 'fleet', containerName: 'certs', credential: { getToken } }
    connecting = failure(AzureBlobCertCache.connect(options))
  })
  vi.advanceTimersByTime(59_999)
  expect(signal?.aborted).toBe(false)
  vi.advanceTimersByTime(1)
  expect(signal?.aborted).toBe(true)
  expect(await connecting).toMatchObject({ code: 'ERR_STORE_TIMEOUT' })
})
