import { ContainerSASPermissions } from '@azure/storage-blob'
import { afterEach, expect, test } from 'vitest'
import { AzureBlobCertCache, type CertCacheEntry } from '../../../src/index.js'
import { azurite, freshContainer } from '../../support/azure.js'
import { openTap } from '../../support/tap.js'

const closers: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const close of closers.splice(0)) await close()
})

async function tappedContainer() {
  const { client, connect } = await freshContainer()
  const tap = await openTap(azurite().endpoint)
  closers.push(tap.close)
  return { client, tap, connect: { ...connect, endpoint: tap.endpoint } }
}

async function all(entries: AsyncIterable<CertCacheEntry>) {
  const found: CertCacheEntry[] = []
  for await (const entry of entries) found.push(entry)
  return found
}

const names = (entries: CertCacheEntry[]) => entries.map(({ name }) => name)

test('list says name, size and time of every key', async () => {
  const { connect } = await freshContainer()
  const cache = await AzureBlobCertCache.connect(connect)
  expect(await all(cache.list())).toEqual([])
  const from = Math.floor(Date.now() / 1_000) * 1_000
  await cache.put('b.example+rsa', Buffer.alloc(0))
  await cache.put('a.example', Buffer.from('four'))
  const entries = await all(cache.list())
  expect(entries).toMatchObject([
    { name: 'a.example', size: 4 },
    { name: 'b.example+rsa', size: 0 },
  ])
  for (const { modified } of entries) {
    expect(modified.getTime()).toBeGreaterThanOrEqual(from)
    expect(modified.getTime()).toBeLessThanOrEqual(Date.now())
  }
})

test('list leaves out what is outside the prefix, and names that are no keys', async () => {
  const { connect } = await freshContainer()
  const whole = await AzureBlobCertCache.connect(connect)
  const part = await AzureBlobCertCache.connect({ ...connect, prefix: 'tls/' })
  await whole.put('a.example', Buffer.from('x'))
  await part.put('b.example', Buffer.from('x'))
  const deeper = await AzureBlobCertCache.connect({ ...connect, prefix: 'tls/deeper/' })
  await deeper.put('c.example', Buffer.from('x'))
  expect(names(await all(whole.list()))).toEqual(['a.example'])
  expect(names(await all(part.list()))).toEqual(['b.example'])
  expect(names(await all(deeper.list()))).toEqual(['c.example'])
})

test('list reads the next page when it is wanted, and none after that', async () => {
  const { client, tap, connect } = await tappedContainer()
  const count = 1_001
  const blobs = Array.from({ length: count }, (_, n) => `host-${String(n).padStart(5, '0')}.example`)
  const waiting = [...blobs]
  const upload = async () => {
    for (let name = waiting.pop(); name; name = waiting.pop()) await client.uploadBlockBlob(name, 'x', 1)
  }
  await Promise.all(Array.from({ length: 20 }, upload))
  const cache = await AzureBlobCertCache.connect(connect)
  tap.take()
  for await (const { name } of cache.list()) {
    expect(name).toBe(blobs[0])
    break
  }
  expect(tap.take()).toHaveLength(1)
  expect(names(await all(cache.list()))).toEqual(blobs)
  expect(tap.take()).toHaveLength(2)
})

test('list rejects as get does', async () => {
  const { client, tap, connect } = await tappedContainer()
  const cache = await AzureBlobCertCache.connect({ ...connect, timeoutMs: 500 })
  const cases = [
    [{ status: 404, code: 'ContainerNotFound' }, 'ERR_STORE_CONTAINER'],
    [{ status: 404, code: 'BlobNotFound' }, 'ERR_STORE_FAILED'],
    [{ status: 403, code: 'AuthenticationFailed' }, 'ERR_STORE_CREDENTIALS'],
    ['hang', 'ERR_STORE_TIMEOUT'],
    ['reset', 'ERR_STORE_UNREACHABLE'],
  ] as const
  for (const [fault, code] of cases) {
    tap.fault(() => fault)
    await expect(all(cache.list())).rejects.toMatchObject({ name: 'StoreError', code })
  }
  tap.fault(() => 'hang')
  const reason = new Error('enough')
  await expect(all(cache.list({ signal: AbortSignal.abort(reason) }))).rejects.toBe(reason)

  const expiresOn = new Date(Date.now() + 600_000)
  const endpoint = await client.generateSasUrl({
    permissions: ContainerSASPermissions.parse('racwd'),
    expiresOn,
  })
  const blind = await AzureBlobCertCache.connect({ endpoint, containerName: connect.containerName })
  await expect(all(blind.list())).rejects.toMatchObject({
    code: 'ERR_STORE_PERMISSION',
    message: expect.stringContaining('list, for listings'),
  })
})
