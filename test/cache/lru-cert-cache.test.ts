import { expect, test } from 'vitest'
import { LruCertCache } from '../../src/index.js'
import { MemoryStore } from '../support/memory-store.js'
import { VirtualClock } from '../support/virtual-clock.js'

const bytes = (text: string) => Buffer.from(text)
const text = (data: Uint8Array | undefined) => data && Buffer.from(data).toString()

/** Returns a promise and the function that resolves it. */
function gate() {
  let open = () => {}
  const opened = new Promise<void>((resolve) => {
    open = resolve
  })
  return { open, opened }
}

test('a value is read from the store once, then from memory', async () => {
  const store = new MemoryStore()
  store.values.set('a.example', bytes('a'))
  const cache = new LruCertCache(store)
  expect(cache.peek('a.example')).toBeUndefined()
  expect(text(await cache.get('a.example'))).toBe('a')
  expect(text(await cache.get('a.example'))).toBe('a')
  expect(text(cache.peek('a.example'))).toBe('a')
  expect(store.take()).toEqual(['get a.example'])
})

test('a miss is not cached', async () => {
  const store = new MemoryStore()
  const cache = new LruCertCache(store)
  expect(await cache.get('a.example')).toBeUndefined()
  store.values.set('a.example', bytes('a'))
  expect(text(await cache.get('a.example'))).toBe('a')
})

test('a failure is not cached', async () => {
  const store = new MemoryStore()
  const cache = new LruCertCache(store)
  store.before = () => Promise.reject(new Error('down'))
  await expect(cache.get('a.example')).rejects.toThrow('down')
  store.before = () => {}
  expect(await cache.get('a.example')).toBeUndefined()
})

test('concurrent reads of one key share one request', async () => {
  const store = new MemoryStore()
  store.values.set('a.example', bytes('a'))
  const cache = new LruCertCache(store)
  const values = await Promise.all(Array.from({ length: 100 }, () => cache.get('a.example')))
  expect(new Set(values.map(text))).toEqual(new Set(['a']))
  expect(store.take()).toEqual(['get a.example'])
})

test('a read that finishes after a later write returns the written value', async () => {
  const store = new MemoryStore()
  const cache = new LruCertCache(store)
  const slow = gate()
  const answer = store.get.bind(store)
  // The store reads before the write and responds after it.
  store.get = async () => {
    store.get = answer
    await slow.opened
    return undefined
  }
  const read = cache.get('a.example')
  await cache.put('a.example', bytes('new'))
  slow.open()
  expect(text(await read)).toBe('new')
})

test('memory holds at most max values and evicts the least recently used first', async () => {
  const store = new MemoryStore()
  const cache = new LruCertCache(store, { max: 2 })
  for (const key of ['a.example', 'b.example']) await cache.put(key, bytes(key))
  cache.peek('a.example')
  await cache.put('c.example', bytes('c'))
  expect(cache.peek('b.example')).toBeUndefined()
  expect([...cache.values()].map(text)).toEqual(['c', 'a.example'])
})

test('getOrPut produces only after a miss in memory and in the store, and stores the value', async () => {
  const store = new MemoryStore()
  store.values.set('b.example', bytes('stored'))
  const cache = new LruCertCache(store)
  const made: string[] = []
  const get = async (key: string) =>
    text(
      await cache.getOrPut(key, async () => {
        made.push(key)
        return bytes('made')
      }),
    )
  expect(await get('a.example')).toBe('made')
  expect(store.take()).toEqual(['get a.example', 'put a.example'])
  expect(await get('a.example')).toBe('made')
  expect(await get('b.example')).toBe('stored')
  expect(store.take()).toEqual(['get b.example'])
  expect(made).toEqual(['a.example'])
})

test.each([1, 1_000])(
  'getOrPut produces once for 200 concurrent callers of 3 keys, with max %i',
  async (max) => {
    const store = new MemoryStore()
    const cache = new LruCertCache(store, { max })
    const made: string[] = []
    const calls = Array.from({ length: 200 }, (_, i) => {
      const key = `${'abc'[i % 3]}.example`
      return cache.getOrPut(key, async () => {
        made.push(key)
        await new Promise(setImmediate)
        return bytes(key)
      })
    })
    await Promise.all(calls)
    expect(made.sort()).toEqual(['a.example', 'b.example', 'c.example'])
  },
)

test('concurrent callers share a failure, and the next caller tries again', async () => {
  const cache = new LruCertCache(new MemoryStore())
  let attempts = 0
  const produce = async () => {
    attempts += 1
    if (attempts === 1) throw new Error('refused')
    return bytes('made')
  }
  const all = await Promise.allSettled(Array.from({ length: 10 }, () => cache.getOrPut('a.example', produce)))
  expect(all.map(({ status }) => status)).toEqual(Array(10).fill('rejected'))
  expect(attempts).toBe(1)
  expect(text(await cache.getOrPut('a.example', produce))).toBe('made')
})

test('a store failure is not a miss: getOrPut rejects and produces nothing', async () => {
  const store = new MemoryStore()
  const cache = new LruCertCache(store)
  store.before = () => Promise.reject(new Error('down'))
  const produce = () => expect.unreachable()
  await expect(cache.getOrPut('a.example', produce)).rejects.toThrow('down')
})

test('a value that accept rejects counts as a miss, and stays in the store until it is replaced', async () => {
  const store = new MemoryStore()
  store.values.set('a.example', bytes('expired'))
  const cache = new LruCertCache(store)
  const accept = (data: Uint8Array) => text(data) !== 'expired'
  const failing = () => Promise.reject(new Error('no CA'))
  await expect(cache.getOrPut('a.example', failing, { accept })).rejects.toThrow('no CA')
  expect(text(store.values.get('a.example'))).toBe('expired')
  expect(text(await cache.getOrPut('a.example', async () => bytes('fresh'), { accept }))).toBe('fresh')
  expect(text(store.values.get('a.example'))).toBe('fresh')
})

test('when accept rejects the value in memory, getOrPut reads the store, where a peer may have replaced it', async () => {
  const store = new MemoryStore()
  const cache = new LruCertCache(store)
  await cache.put('a.example', bytes('old'))
  store.values.set('a.example', bytes('by a peer'))
  const accept = (data: Uint8Array) => text(data) !== 'old'
  const produce = () => expect.unreachable()
  expect(text(await cache.getOrPut('a.example', produce, { accept }))).toBe('by a peer')
  expect(text(cache.peek('a.example'))).toBe('by a peer')
})

test('a caller’s signal ends its own wait, not the work', async () => {
  const store = new MemoryStore()
  const cache = new LruCertCache(store)
  const slow = gate()
  const produce = async () => {
    await slow.opened
    return bytes('made')
  }
  const controller = new AbortController()
  const impatient = cache.getOrPut('a.example', produce, { signal: controller.signal })
  const patient = cache.getOrPut('a.example', produce)
  controller.abort(new Error('too long'))
  await expect(impatient).rejects.toThrow('too long')
  slow.open()
  expect(text(await patient)).toBe('made')
})

test('a value that the store rejects is served from memory, and put again after 1 s, 2 s, 4 s …', async () => {
  const store = new MemoryStore()
  const clock = new VirtualClock()
  const failures: number[] = []
  const cache = new LruCertCache(store, {
    max: 1,
    clock,
    onPutFailed: ({ retryInMs }) => {
      failures.push(retryInMs)
      throw new Error('a listener’s own fault')
    },
  })
  store.before = (operation) => {
    if (operation === 'put') throw new Error('full')
  }
  expect(text(await cache.getOrPut('a.example', async () => bytes('made')))).toBe('made')
  for (const wait of [1_000, 2_000, 4_000]) {
    clock.advance(wait - 1)
    expect(clock.pending).toBe(1)
    clock.advance(1)
    await expect.poll(() => clock.pending).toBe(1)
  }
  expect(failures).toEqual([1_000, 2_000, 4_000, 8_000])
  // A pending value survives its eviction from the LRU.
  store.values.set('b.example', bytes('b'))
  await cache.get('b.example')
  const produce = () => expect.unreachable()
  expect(text(await cache.getOrPut('a.example', produce))).toBe('made')
  store.before = () => {}
  clock.advance(8_000)
  await expect.poll(() => text(store.values.get('a.example'))).toBe('made')
  expect(clock.pending).toBe(0)
})

test('a newer value replaces one that could not be stored', async () => {
  const store = new MemoryStore()
  const clock = new VirtualClock()
  const cache = new LruCertCache(store, { clock, onPutFailed: () => {} })
  store.before = (operation) => {
    if (operation === 'put') throw new Error('full')
  }
  await cache.getOrPut('a.example', async () => bytes('first'))
  store.before = () => {}
  await cache.put('a.example', bytes('second'))
  expect(clock.pending).toBe(0)
  expect(text(store.values.get('a.example'))).toBe('second')
})

test('close puts pending values once more, and rejects with the errors of those that fail', async () => {
  const store = new MemoryStore()
  const clock = new VirtualClock()
  const cache = new LruCertCache(store, { clock, onPutFailed: () => {} })
  store.before = (operation, key) => {
    if (operation === 'put' && (key === 'a.example' || failing)) throw new Error('full')
  }
  let failing = true
  await cache.getOrPut('a.example', async () => bytes('a'))
  await cache.getOrPut('b.example', async () => bytes('b'))
  failing = false
  await expect(cache.close()).rejects.toMatchObject({ errors: [{ message: 'full' }] })
  expect([...store.values.keys()]).toEqual(['b.example'])
  expect(clock.pending).toBe(0)
})

test('refresh reads the store past memory, and caches the value if it is accepted', async () => {
  const store = new MemoryStore()
  store.values.set('a.example', bytes('1'))
  const cache = new LruCertCache(store)
  await cache.get('a.example')
  store.values.set('a.example', bytes('2'))
  await cache.refresh('a.example', { accept: (data) => text(data) === '3' })
  expect(text(cache.peek('a.example'))).toBe('1')
  await cache.refresh('a.example')
  expect(text(cache.peek('a.example'))).toBe('2')
  store.values.delete('a.example')
  await cache.refresh('a.example')
  expect(text(cache.peek('a.example'))).toBe('2')
  store.before = () => Promise.reject(new Error('down'))
  await expect(cache.refresh('a.example')).rejects.toThrow('down')
})

test('refresh does not read a value whose put is pending', async () => {
  const store = new MemoryStore()
  const cache = new LruCertCache(store, { clock: new VirtualClock(), onPutFailed: () => {} })
  store.before = (operation) => {
    if (operation === 'put') throw new Error('full')
  }
  await cache.getOrPut('a.example', async () => bytes('new'))
  store.take()
  await cache.refresh('a.example')
  expect(store.take()).toEqual([])
  expect(text(cache.peek('a.example'))).toBe('new')
})
