import { expect, test } from 'vitest'
import { MemoryCertCache } from '../../src/testing/index.js'

test('put copies a Buffer, whose slice() would share its memory', async () => {
  const cache = new MemoryCertCache()
  const data = Buffer.from('value')
  const written = cache.put('a.example', data)
  data.fill(0)
  await written
  expect(Buffer.from((await cache.get('a.example')) ?? []).toString()).toBe('value')
})

test('cutOff aborts the locks of this handle alone, and frees them for others', async () => {
  const cache = new MemoryCertCache()
  const peer = cache.peer()
  const lost = await cache.tryLock('a.example')
  const kept = await peer.tryLock('b.example')
  cache.cutOff()
  expect(lost?.signal.reason).toMatchObject({ code: 'ERR_LOCK_LOST' })
  expect(kept?.signal.aborted).toBe(false)
  const next = await peer.tryLock('a.example')
  expect(next?.signal.aborted).toBe(false)
  cache.mend()
  await lost?.release()
  expect(await cache.tryLock('a.example')).toBeUndefined()
  expect(await cache.tryLock('b.example')).toBeUndefined()
})

test('cutOff aborts no lock that was released, and mend lets operations reach the values again', async () => {
  const cache = new MemoryCertCache()
  await cache.put('a.example', Buffer.from('value'))
  const released = await cache.tryLock('a.example')
  await released?.release()
  cache.cutOff()
  expect(released?.signal.aborted).toBe(false)
  await expect(cache.get('a.example')).rejects.toMatchObject({ code: 'ERR_STORE_UNREACHABLE' })
  cache.mend()
  expect(await cache.get('a.example')).toEqual(Uint8Array.from(Buffer.from('value')))
})

test('a listing rejects if the store is cut off while it is read', async () => {
  const cache = new MemoryCertCache()
  for (const key of ['a.example', 'b.example']) await cache.put(key, Buffer.from('value'))
  const listing = cache.list()
  expect((await listing.next()).value).toMatchObject({ name: 'a.example', size: 5 })
  cache.cutOff()
  await expect(listing.next()).rejects.toMatchObject({ code: 'ERR_STORE_UNREACHABLE' })
})

test('an operation that is aborted while it waits for the store has no effect', async () => {
  const cache = new MemoryCertCache()
  const controller = new AbortController()
  const written = cache.put('a.example', Buffer.from('value'), { signal: controller.signal })
  const reason = new Error('the caller has gone')
  controller.abort(reason)
  await expect(written).rejects.toBe(reason)
  expect(await cache.get('a.example')).toBeUndefined()
})
