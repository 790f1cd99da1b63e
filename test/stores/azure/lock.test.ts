import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { AzureBlobCertCache, LockLostError } from '../../../src/index.js'
import { tappedContainer } from './containers.js'

async function setUp() {
  const { client, tap, connect, at } = await tappedContainer()
  const cache = await AzureBlobCertCache.connect(connect)
  tap.take()
  const lockBlob = client.getBlockBlobClient('a.example+lock')
  return { cache, tap, lockBlob, at: `${at}/a.example+lock` }
}

test('one machine holds the lock until it is released, which deletes the blob', async () => {
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

test('one of 20 concurrent tryLock calls acquires the lock', async () => {
  const { cache } = await setUp()
  const locks = await Promise.all(Array.from({ length: 20 }, () => cache.tryLock('a.example')))
  const held = locks.filter((lock) => lock !== undefined)
  expect(held).toHaveLength(1)
  await held[0]?.release()
})

test('tryLock acquires the lock of an abandoned blob, whatever its content', async () => {
  const { cache, lockBlob } = await setUp()
  await lockBlob.upload('{"another": "format"}', 21, { metadata: { by: 'somebody' } })
  const lock = await cache.tryLock('a.example')
  expect(lock).toBeDefined()
  await lock?.release()
  expect(await lockBlob.exists()).toBe(false)
})

test('a former holder’s release does not release the next holder’s lock', async () => {
  const { cache, lockBlob } = await setUp()
  const lock = await cache.tryLock('a.example')
  // The lease is broken, and another holder acquires the lock.
  await lockBlob.getBlobLeaseClient().breakLease(0)
  const next = await cache.tryLock('a.example')
  expect(next).toBeDefined()
  await lock?.release()
  expect((await lockBlob.getProperties()).leaseState).toBe('leased')
  expect(next?.signal.aborted).toBe(false)
  await next?.release()
  expect(await lockBlob.exists()).toBe(false)
})

test('tryLock rejects when the service returns 503 or 403', async () => {
  const { cache, tap } = await setUp()
  tap.fault(() => ({ status: 503, code: 'ServerBusy' }))
  await expect(cache.tryLock('a.example')).rejects.toMatchObject({ code: 'ERR_STORE_FAILED' })
  tap.fault(() => ({ status: 403, code: 'AuthorizationPermissionMismatch' }))
  await expect(cache.tryLock('a.example')).rejects.toMatchObject({ code: 'ERR_STORE_PERMISSION' })
})

test('tryLock rejects when its signal aborts, and releases a lease that is granted later', async () => {
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

test('tryLock sends no request if its signal is already aborted', async () => {
  const { cache, tap } = await setUp()
  const reason = new Error('enough')
  await expect(cache.tryLock('a.example', { signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
  // A request that began before this one would have arrived by now.
  expect(await cache.get('b.example')).toBeUndefined()
  expect(tap.take()).toEqual([expect.stringMatching(/b\.example$/)])
})

test('tryLock rejects an invalid name', async () => {
  const { cache } = await setUp()
  await expect(cache.tryLock('a/b')).rejects.toMatchObject({ code: 'ERR_CACHE_KEY' })
})

// Azurite’s leases last 30 real seconds; the client’s time advances only when a test advances it.
describe('in virtual time', () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance', 'Date'] })
  })
  afterEach(() => {
    vi.useRealTimers()
  })

  test('tryLock releases a lease that was granted to a request that timed out', async () => {
    const { cache, tap, lockBlob } = await setUp()
    await lockBlob.upload('', 0)
    // The service grants the lease; its response never arrives.
    tap.fault((method) => (method === 'PUT' ? 'swallow the answer' : undefined))
    const locked = expect(cache.tryLock('a.example')).rejects.toMatchObject({ code: 'ERR_STORE_TIMEOUT' })
    await expect.poll(async () => (await lockBlob.getProperties()).leaseState).toBe('leased')
    vi.advanceTimersByTime(60_000)
    await locked
    await expect.poll(() => lockBlob.exists()).toBe(false)
  })

  test('a held lock is renewed every 10 s', async () => {
    const { cache, tap, at } = await setUp()
    const lock = await cache.tryLock('a.example')
    tap.take()
    for (let renewals = 1; renewals <= 3; renewals++) {
      vi.advanceTimersByTime(10_000)
      // The next renewal is scheduled when the response to the previous one arrives.
      const requests = () => {
        vi.advanceTimersByTime(1)
        return tap.requests
      }
      await expect.poll(requests).toEqual(Array(renewals).fill(`PUT ${at}`))
    }
    expect(lock?.signal.aborted).toBe(false)
    await lock?.release()
  })

  test('the signal aborts when a renewal finds the lock lost', async () => {
    const { cache, lockBlob } = await setUp()
    const lock = await cache.tryLock('a.example')
    await lockBlob.getBlobLeaseClient().breakLease(0)
    await lockBlob.delete()
    vi.advanceTimersByTime(10_000)
    await expect.poll(() => lock?.signal.aborted).toBe(true)
    expect(lock?.signal.reason).toBeInstanceOf(LockLostError)
    expect(lock?.signal.reason.message).toContain('another holder has acquired it')
  })

  test('a lock that cannot be renewed is lost after 25 s, before its lease expires', async () => {
    const { cache, tap } = await setUp()
    const lock = await cache.tryLock('a.example')
    tap.fault(() => 'hang')
    vi.advanceTimersByTime(24_999)
    expect(lock?.signal.aborted).toBe(false)
    vi.advanceTimersByTime(1)
    expect(lock?.signal.reason).toMatchObject({ code: 'ERR_LOCK_LOST' })
  })
})
