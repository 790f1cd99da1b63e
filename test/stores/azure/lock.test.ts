import { afterEach, expect, test } from 'vitest'
import { AzureBlobCertCache, LockLostError } from '../../../src/index.js'
import { azurite, freshContainer } from '../../support/azure.js'
import { openTap } from '../../support/tap.js'

const closers: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const close of closers.splice(0)) await close()
})

async function setUp() {
  const { client, connect } = await freshContainer()
  const tap = await openTap(azurite().endpoint)
  closers.push(tap.close)
  const cache = await AzureBlobCertCache.connect({ ...connect, endpoint: tap.endpoint, timeoutMs: 1_000 })
  tap.take()
  const lockBlob = client.getBlockBlobClient('a.example+lock')
  return { cache, tap, lockBlob, at: `/${connect.containerName}/a.example+lock` }
}

test('one holds the lock, until it is released; the blob goes with it', async () => {
  const { cache, tap, lockBlob, at } = await setUp()
  const lock = await cache.tryLock('a.example')
  expect(lock?.signal.aborted).toBe(false)
  expect(tap.take()).toEqual([`PUT ${at}`, `PUT ${at}`, `PUT ${at}`])
  expect(await cache.tryLock('a.example')).toBeUndefined()
  expect(tap.take()).toEqual([`PUT ${at}`])
  const other = await cache.tryLock('b.example')
  expect(other).toBeDefined()
  await other?.release()
  await lock?.release()
  expect(await lockBlob.exists()).toBe(false)
  const next = await cache.tryLock('a.example')
  expect(next?.signal.aborted).toBe(false)
  await next?.release()
})

test('of 20 at once, one gets it', async () => {
  const { cache } = await setUp()
  const locks = await Promise.all(Array.from({ length: 20 }, () => cache.tryLock('a.example')))
  const held = locks.filter((lock) => lock !== undefined)
  expect(held).toHaveLength(1)
  await held[0]?.release()
})

test('a blob that somebody left behind is taken over, whatever is in it', async () => {
  const { cache, lockBlob } = await setUp()
  await lockBlob.upload('{"another": "format"}', 21, { metadata: { by: 'somebody' } })
  const lock = await cache.tryLock('a.example')
  expect(lock).toBeDefined()
  await lock?.release()
  expect(await lockBlob.exists()).toBe(false)
})

test('only its holder releases it', async () => {
  const { cache, lockBlob } = await setUp()
  const lock = await cache.tryLock('a.example')
  // Somebody breaks the lease, and somebody else takes the lock.
  await lockBlob.getBlobLeaseClient().breakLease(0)
  const next = await cache.tryLock('a.example')
  expect(next).toBeDefined()
  await lock?.release()
  expect((await lockBlob.getProperties()).leaseState).toBe('leased')
  expect(next?.signal.aborted).toBe(false)
  await next?.release()
  expect(await lockBlob.exists()).toBe(false)
})

test('a store that cannot tell who holds it is an error, not a lost race', async () => {
  const { cache, tap } = await setUp()
  tap.fault(() => ({ status: 503, code: 'ServerBusy' }))
  await expect(cache.tryLock('a.example')).rejects.toMatchObject({ code: 'ERR_STORE_FAILED' })
  tap.fault(() => ({ status: 403, code: 'AuthorizationPermissionMismatch' }))
  await expect(cache.tryLock('a.example')).rejects.toMatchObject({ code: 'ERR_STORE_PERMISSION' })
})

test('a lease that was granted while its request timed out does not keep everybody out', async () => {
  const { cache, tap, lockBlob } = await setUp()
  await lockBlob.upload('', 0)
  // The service grants it; the answer never arrives.
  tap.fault((method) => (method === 'PUT' ? 'swallow the answer' : undefined))
  await expect(cache.tryLock('a.example')).rejects.toMatchObject({ code: 'ERR_STORE_TIMEOUT' })
  tap.fault(() => undefined)
  await expect.poll(() => lockBlob.exists()).toBe(false)
})

test('a lock is waited for until the signal aborts; one that is given later is given back', async () => {
  const { cache, tap, lockBlob } = await setUp()
  await lockBlob.upload('', 0)
  const reason = new Error('enough')
  for (const fault of ['hang', undefined] as const) {
    const controller = new AbortController()
    tap.fault((method) => {
      if (method === 'PUT') controller.abort(reason)
      return fault
    })
    await expect(cache.tryLock('a.example', { signal: controller.signal })).rejects.toBe(reason)
  }
  await expect.poll(() => lockBlob.exists()).toBe(false)
})

test('an illegal name is refused', async () => {
  const { cache } = await setUp()
  await expect(cache.tryLock('a/b')).rejects.toMatchObject({ code: 'ERR_CACHE_KEY' })
})

// These two wait for a real lease of 30 s; they run beside each other.
test.concurrent('a held lock is renewed; its signal aborts when a renewal finds it lost', {
  timeout: 60_000,
}, async () => {
  const { cache, lockBlob, tap } = await setUp()
  const lock = await cache.tryLock('a.example')
  tap.take()
  await expect.poll(() => tap.requests.length, { timeout: 15_000 }).toBe(1)
  expect(lock?.signal.aborted).toBe(false)
  await lockBlob.getBlobLeaseClient().breakLease(0)
  await lockBlob.delete()
  await expect.poll(() => lock?.signal.aborted, { timeout: 15_000 }).toBe(true)
  expect(lock?.signal.reason).toBeInstanceOf(LockLostError)
})

test.concurrent('a lock that cannot be renewed counts as lost before the lease ends', {
  timeout: 60_000,
}, async () => {
  const { cache, lockBlob, tap } = await setUp()
  const lock = await cache.tryLock('a.example')
  tap.fault(() => 'hang')
  await expect.poll(() => lock?.signal.aborted, { timeout: 35_000, interval: 50 }).toBe(true)
  expect((await lockBlob.getProperties()).leaseState).toBe('leased')
  expect(lock?.signal.reason).toMatchObject({ code: 'ERR_LOCK_LOST' })
})
