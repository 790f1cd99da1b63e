import { expect, onTestFinished, test, vi } from 'vitest'
import type { CacheOperationOptions, CertCache } from '../../src/cache/cert-cache.js'
import { LruCertCache } from '../../src/index.js'
import { LockingStore } from '../support/locking-store.js'
import { MemoryStore } from '../support/memory-store.js'
import { VirtualClock } from '../support/virtual-clock.js'

const key = 'a.example'
const bytes = (text: string) => Buffer.from(text)
const text = (data: Uint8Array | undefined) => data && Buffer.from(data).toString()
const reason = new Error('enough')

/** A producer that waits until the test calls `finish`. */
function slowly() {
  let finish = (_: Uint8Array) => {}
  const produced = new Promise<Uint8Array>((resolve) => {
    finish = resolve
  })
  return { produce: vi.fn(() => produced), finish }
}

test('put and delete pass the caller’s signal to the store', async () => {
  const seen: unknown[] = []
  const record = (options?: CacheOperationOptions) => void seen.push(options?.signal)
  const store: CertCache = {
    get: async () => undefined,
    put: async (_key, _data, options) => record(options),
    delete: async (_key, options) => record(options),
  }
  const cache = new LruCertCache(store)
  const { signal } = new AbortController()
  await cache.put(key, bytes('a'), { signal })
  await cache.delete(key, { signal })
  expect(seen).toEqual([signal, signal])
})

test.each<[string, (cache: LruCertCache, signal: AbortSignal) => Promise<unknown>]>([
  ['get', (cache, signal) => cache.get(key, { signal })],
  ['refresh', (cache, signal) => cache.refresh(key, { signal })],
  ['getOrPut', (cache, signal) => cache.getOrPut(key, () => expect.unreachable(), { signal })],
])('aborting the signal of %s ends the wait for the store', async (_, run) => {
  const store = new MemoryStore()
  store.before = () => new Promise(() => {})
  const controller = new AbortController()
  const ended = expect(run(new LruCertCache(store), controller.signal)).rejects.toBe(reason)
  controller.abort(reason)
  await ended
})

test.each<[string, (cache: LruCertCache) => Promise<unknown>]>([
  ['get', (cache) => cache.get('a/b')],
  ['refresh', (cache) => cache.refresh('a/b')],
  ['put', (cache) => cache.put('a/b', bytes('a'))],
  ['delete', (cache) => cache.delete('a/b')],
  ['getOrPut', (cache) => cache.getOrPut('a/b', async () => bytes('a'))],
])('%s rejects an invalid key and does not call a store that would accept it', async (_, run) => {
  const calls: string[] = []
  const cache = new LruCertCache({
    get: async (name) => void calls.push(name) as undefined,
    put: async (name) => void calls.push(name),
    delete: async (name) => void calls.push(name),
  })
  await expect(run(cache)).rejects.toMatchObject({ code: 'ERR_CACHE_KEY' })
  expect(calls).toEqual([])
})

test('memory holds 1,000 values by default', async () => {
  const cache = new LruCertCache(new MemoryStore())
  for (let index = 0; index <= 1_000; index++) await cache.put(`h${index}.example`, bytes('a'))
  expect([...cache.values()]).toHaveLength(1_000)
  expect(cache.peek('h0.example')).toBeUndefined()
})

test('a caller that accepts the stored value receives it while the value of a stricter caller is produced', async () => {
  const store = new MemoryStore()
  store.values.set(key, bytes('old'))
  const cache = new LruCertCache(store)
  const { produce, finish } = slowly()
  const strict = cache.getOrPut(key, produce, { accept: (data) => text(data) !== 'old' })
  await expect.poll(() => produce.mock.calls).toHaveLength(1)
  expect(text(await cache.getOrPut(key, () => expect.unreachable()))).toBe('old')
  finish(bytes('new'))
  expect(text(await strict)).toBe('new')
})

test('a read that began while the value was produced does not return a miss after the value is stored', async () => {
  const store = new MemoryStore()
  const cache = new LruCertCache(store)
  const { produce, finish } = slowly()
  const result = cache.getOrPut(key, produce)
  await expect.poll(() => produce.mock.calls).toHaveLength(1)
  // The store reads before the put and responds after it.
  let answer = (_: undefined) => {}
  const get = vi.spyOn(store, 'get')
  get.mockImplementationOnce(() => new Promise((resolve) => (answer = resolve)))
  const early = cache.get(key)
  finish(bytes('new'))
  expect(text(await result)).toBe('new')
  answer(undefined)
  expect(text(await early)).toBe('new')
})

test('a caller that accepts a value refused before a newer one was adopted does not bring it back', async () => {
  const store = new LockingStore()
  store.values.set(key, bytes('v1'))
  store.values.set('other.example', bytes('other'))
  const cache = new LruCertCache(store, { max: 1 })
  let release = () => {}
  store.before = (operation, name) => {
    if (operation === 'lock') store.values.set(name, bytes('v2'))
    if (operation === 'unlock') return new Promise<void>((resolve) => (release = resolve))
  }
  const strict = cache.getOrPut(key, () => expect.unreachable(), { accept: (data) => text(data) !== 'v1' })
  await expect.poll(() => text(cache.peek(key))).toBe('v2')
  await cache.get('other.example') // evicts the adopted value while its lock is being released
  const lenient = cache.getOrPut(key, () => expect.unreachable())
  await new Promise(setImmediate)
  release()
  expect([text(await strict), text(await lenient), text(await cache.get(key))]).toEqual(['v2', 'v2', 'v2'])
})

test('a store whose get resolves with null for a miss takes the value of a lost lock', async () => {
  const store = new LockingStore()
  const get = store.get.bind(store)
  store.get = async (...args) => (await get(...args)) ?? (null as never)
  const cache = new LruCertCache(store)
  const produce = async () => {
    store.lose(key)
    return bytes('value')
  }
  expect(text(await cache.getOrPut(key, produce))).toBe('value')
  await expect.poll(() => text(store.values.get(key))).toBe('value')
  expect(text(cache.peek(key))).toBe('value')
})

test('close waits at most 10 s for a value that is being produced, and warns', async () => {
  const warn = vi.spyOn(process, 'emitWarning').mockImplementation(() => {})
  onTestFinished(() => warn.mockRestore())
  const clock = new VirtualClock()
  const cache = new LruCertCache(new LockingStore(), { clock })
  const { produce } = slowly()
  cache.getOrPut(key, produce).catch(() => undefined)
  await expect.poll(() => produce.mock.calls).toHaveLength(1)
  const isClosed = vi.fn()
  const closed = cache.close().then(isClosed)
  clock.advance(9_999)
  for (let turn = 0; turn < 3; turn++) await new Promise(setImmediate)
  expect(isClosed).not.toHaveBeenCalled()
  clock.advance(1)
  await closed
  expect(warn.mock.calls).toEqual([[expect.stringContaining('DeadlineError'), 'CertCacheWarning']])
  expect(clock.pending).toBe(0)
})
