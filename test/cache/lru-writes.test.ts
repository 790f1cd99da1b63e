import { expect, test } from 'vitest'
import { LruCertCache } from '../../src/index.js'
import { LockingStore } from '../support/locking-store.js'
import { MemoryStore } from '../support/memory-store.js'
import { VirtualClock } from '../support/virtual-clock.js'

const bytes = (text: string) => Buffer.from(text)
const text = (data: Uint8Array | undefined) => data && Buffer.from(data).toString()

test('put writes to memory and to the store; delete removes from both', async () => {
  const store = new MemoryStore()
  const cache = new LruCertCache(store)
  await cache.put('a.example', bytes('a'))
  expect(text(store.values.get('a.example'))).toBe('a')
  expect(text(cache.peek('a.example'))).toBe('a')
  await cache.delete('a.example')
  expect(store.values.size).toBe(0)
  expect(cache.peek('a.example')).toBeUndefined()
})

test('after a failed put the value is not in memory, and the next get reads the store', async () => {
  const store = new MemoryStore()
  const cache = new LruCertCache(store)
  await cache.put('a.example', bytes('old'))
  store.before = (operation) => {
    if (operation === 'put') throw new Error('no answer')
  }
  await expect(cache.put('a.example', bytes('new'))).rejects.toThrow('no answer')
  expect(cache.peek('a.example')).toBeUndefined()
  expect(text(await cache.get('a.example'))).toBe('old')
})

test.each(['put', 'delete'] as const)('a value read during a %s is not cached', async (write) => {
  const store = new MemoryStore()
  store.values.set('a.example', bytes('former'))
  const cache = new LruCertCache(store)
  const read: unknown[] = []
  store.before = async (operation) => {
    if (operation === 'get') return
    read.push(text(await cache.get('a.example')))
    if (operation === 'put') throw new Error('timed out')
  }
  const written = write === 'put' ? cache.put('a.example', bytes('new')) : cache.delete('a.example')
  await written.catch(() => undefined)
  expect(read).toEqual(['former'])
  expect(cache.peek('a.example')).toBeUndefined()
})

test('after a failed delete the next get reads the store', async () => {
  const store = new MemoryStore()
  const cache = new LruCertCache(store)
  await cache.put('a.example', bytes('old'))
  store.before = (operation) => {
    if (operation === 'delete') throw new Error('no answer')
  }
  await expect(cache.delete('a.example')).rejects.toThrow('no answer')
  expect(cache.peek('a.example')).toBeUndefined()
  store.take()
  expect(text(await cache.get('a.example'))).toBe('old')
  expect(store.take()).toEqual(['get a.example'])
})

test.each(['put', 'delete'] as const)(
  'a %s replaces a value that is not stored yet, and releases its lock',
  async (write) => {
    const store = new LockingStore()
    const clock = new VirtualClock()
    const cache = new LruCertCache(store, { clock, onPutFailed: () => {} })
    store.before = (operation) => {
      if (operation === 'put') throw new Error('full')
    }
    await cache.getOrPut('a.example', async () => bytes('former'))
    expect(store.held('a.example')).toBe(true)
    store.before = () => {}
    if (write === 'put') await cache.put('a.example', bytes('newer'))
    else await cache.delete('a.example')
    await expect.poll(() => store.held('a.example')).toBe(false)
    expect(clock.pending).toBe(0)
    clock.advance(600_000)
    expect(text(await cache.get('a.example'))).toBe(write === 'put' ? 'newer' : undefined)
  },
)
