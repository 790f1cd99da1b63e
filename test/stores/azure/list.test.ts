import { ContainerClient, ContainerSASPermissions, StorageSharedKeyCredential } from '@azure/storage-blob'
import { expect, test } from 'vitest'
import { AzureBlobCertCache, type CertCacheEntry } from '../../../src/index.js'
import { freshContainer, tappedContainer } from './containers.js'

async function all(entries: AsyncIterable<CertCacheEntry>) {
  const found: CertCacheEntry[] = []
  for await (const entry of entries) found.push(entry)
  return found
}

const names = (entries: CertCacheEntry[]) => entries.map(({ name }) => name)

test('list returns name, size and time of every key', async () => {
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

test('list skips blobs outside the prefix, and those whose names are not keys', async () => {
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

test('list requests a page when its first entry is needed, and none after the last page', async () => {
  const { client, tap, connect } = await tappedContainer()
  const { accountName, accountKey, endpoint, containerName } = connect
  const credential = new StorageSharedKeyCredential(accountName, accountKey)
  const container = new ContainerClient(`${endpoint}/${containerName}`, credential)
  const listBlobsFlat = container.listBlobsFlat.bind(container)
  const sizes = new Set<number | undefined>()
  // Two blobs per page; list.long.ts tests the page size that is requested.
  container.listBlobsFlat = (options) => {
    const blobs = listBlobsFlat(options)
    const realByPage = blobs.byPage.bind(blobs)
    const byPage: typeof blobs.byPage = (settings) => {
      sizes.add(settings?.maxPageSize)
      return realByPage({ ...settings, maxPageSize: 2 })
    }
    return Object.assign(blobs, { byPage })
  }
  const blobs = ['a.example', 'b.example', 'c.example', 'd.example', 'e.example']
  for (const name of blobs) await client.uploadBlockBlob(name, 'x', 1)
  const cache = new AzureBlobCertCache(container, { timeoutMs: connect.timeoutMs })
  const read: string[] = []
  for await (const { name } of cache.list()) {
    read.push(name)
    expect(tap.requests).toHaveLength(Math.ceil(read.length / 2))
  }
  expect(read).toEqual(blobs)
  expect(tap.take()).toHaveLength(3)
  for await (const { name } of cache.list()) {
    expect(name).toBe('a.example')
    break
  }
  expect(tap.take()).toHaveLength(1)
  expect([...sizes]).toEqual([1_000])
})

test('list rejects with the same errors as get', async () => {
  const { client, tap, connect } = await tappedContainer()
  const cache = await AzureBlobCertCache.connect(connect)
  const cases = [
    [{ status: 404, code: 'ContainerNotFound' }, 'ERR_STORE_CONTAINER'],
    [{ status: 404, code: 'BlobNotFound' }, 'ERR_STORE_FAILED'],
    [{ status: 403, code: 'AuthenticationFailed' }, 'ERR_STORE_CREDENTIALS'],
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
  const permissions = ContainerSASPermissions.parse('racwd')
  const endpoint = await client.generateSasUrl({ permissions, expiresOn })
  const { containerName, timeoutMs } = connect
  const blind = await AzureBlobCertCache.connect({ endpoint, containerName, timeoutMs })
  await expect(all(blind.list())).rejects.toMatchObject({
    code: 'ERR_STORE_PERMISSION',
    message: expect.stringContaining('also list, to list'),
  })
})

test('list times out when the service does not answer', async () => {
  const { tap, connect } = await tappedContainer()
  const container = new ContainerClient(`${connect.endpoint}/${connect.containerName}`)
  const cache = new AzureBlobCertCache(container, { timeoutMs: 500 })
  tap.fault(() => 'hang')
  await expect(all(cache.list())).rejects.toMatchObject({ code: 'ERR_STORE_TIMEOUT' })
})
