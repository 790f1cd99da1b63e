// Real leases of 30 s.
import { describe, expect, type TestContext, test } from 'vitest'
import { AzureBlobCertCache, LockLostError } from '../../../src/index.js'
import { azurite, freshContainer } from '../../support/azure.js'
import { openTap } from '../../support/tap.js'

async function setUp({ onTestFinished }: TestContext) {
  const { client, connect } = await freshContainer()
  const tap = await openTap(azurite().endpoint)
  onTestFinished(tap.close)
  const cache = await AzureBlobCertCache.connect({ ...connect, endpoint: tap.endpoint, timeoutMs: 20_000 })
  tap.take()
  return { cache, tap, lockBlob: client.getBlockBlobClient('a.example+lock') }
}

describe.concurrent('a held lock', () => {
  test('is renewed, and its signal aborts when a renewal finds it lost', async (context) => {
    const { cache, lockBlob, tap } = await setUp(context)
    const lock = await cache.tryLock('a.example')
    tap.take()
    await context.expect.poll(() => tap.requests.length).toBe(1)
    expect(lock?.signal.aborted).toBe(false)
    await lockBlob.getBlobLeaseClient().breakLease(0)
    await lockBlob.delete()
    await context.expect.poll(() => lock?.signal.aborted).toBe(true)
    expect(lock?.signal.reason).toBeInstanceOf(LockLostError)
  })

  test('is lost if it cannot be renewed, and its lease expires', async (context) => {
    const { cache, lockBlob, tap } = await setUp(context)
    const lock = await cache.tryLock('a.example')
    tap.fault(() => 'hang')
    await context.expect.poll(() => lock?.signal.aborted, { interval: 50 }).toBe(true)
    expect(lock?.signal.reason).toMatchObject({ code: 'ERR_LOCK_LOST' })
    const state = async () => (await lockBlob.getProperties()).leaseState
    await context.expect.poll(state, { interval: 500 }).toBe('expired')
  })
})
