import { expect, onTestFinished, test, vi } from 'vitest'
import { PendingWrites } from '../../src/cache/pending-writes.js'
import { type CacheOperationOptions, type CertCacheLock, StoreError } from '../../src/index.js'
import { LockingStore } from '../support/locking-store.js'
import { MemoryStore } from '../support/memory-store.js'
import { VirtualClock } from '../support/virtual-clock.js'

const key = 'a.example'
const bytes = (text: string) => Buffer.from(text)
const text = (data: Uint8Array | undefined) => data && Buffer.from(data).toString()
const fail = (error: string) => {
  throw new Error(error)
}

/** Pending writes on a store whose puts fail until `accept` is called. */
function setUp<S extends MemoryStore>(store: S) {
  const clock = new VirtualClock()
  const pauses: number[] = []
  const pending = new PendingWrites<Buffer>(store, clock, ({ retryInMs }) => pauses.push(retryInMs))
  const before = store.before
  store.before = (operation) => operation === 'put' && fail('full')
  const accept = () => {
    store.before = before
  }
  const put = (data: string, lock?: CertCacheLock, name = key, onRefused?: (error: Error) => Promise<void>) =>
    pending.put(name, bytes(data), {
      data: bytes(data),
      lock,
      usable: Buffer.from,
      onAdopted: () => {},
      onRefused,
    })
  const puts = () => store.operations.filter((operation) => operation.startsWith('put')).length
  return { store, clock, pauses, pending, accept, put, puts }
}

const lockOf = async (store: LockingStore, name = key) =>
  (await store.tryLock(name)) ?? expect.unreachable('another holder has the lock')

test('the pause between two puts doubles from 1 s to 5 minutes and grows no further', async () => {
  const { clock, pauses, put, puts } = setUp(new MemoryStore())
  expect(await put('value')).toBe('pending')
  for (let attempt = 2; attempt <= 40; attempt++) {
    clock.advance((pauses.at(-1) as number) - 1)
    expect(puts()).toBe(attempt - 1)
    clock.advance(1)
    await expect.poll(puts).toBe(attempt)
    await expect.poll(() => pauses).toHaveLength(attempt)
  }
  const seconds = pauses.map((ms) => ms / 1_000)
  expect(seconds.slice(0, 9)).toEqual([1, 2, 4, 8, 16, 32, 64, 128, 256])
  expect(new Set(seconds.slice(9))).toEqual(new Set([300]))
  expect(clock.pending).toBe(1)
})

test('a put that succeeds at once leaves no pending value and no timer, and does not release the lock', async () => {
  const { store, clock, accept, pending, put } = setUp(new LockingStore())
  accept()
  const lock = await lockOf(store)
  expect(await put('value', lock)).toBe('stored')
  expect(pending.get(key)).toBeUndefined()
  expect(clock.pending).toBe(0)
  // The caller releases it.
  expect(store.held(key)).toBe(true)
})

test('a newer value cancels the retry of the former one and releases its lock', async () => {
  const { store, clock, accept, pending, put } = setUp(new LockingStore())
  expect(await put('former', await lockOf(store))).toBe('pending')
  expect(text(pending.get(key))).toBe('former')
  pending.supersede(key)
  expect(pending.get(key)).toBeUndefined()
  expect(clock.pending).toBe(0)
  await expect.poll(() => store.held(key)).toBe(false)
  accept()
  clock.advance(600_000)
  expect(store.values.size).toBe(0)
})

test('a second put of a key supersedes the first and releases its lock', async () => {
  const { store, clock, pending, put } = setUp(new LockingStore())
  await put('former', await lockOf(store))
  await put('newer')
  await expect.poll(() => store.held(key)).toBe(false)
  expect(text(pending.get(key))).toBe('newer')
  expect(clock.pending).toBe(1)
})

test('a retry that fails after its value was superseded is not repeated', async () => {
  const { store, clock, pauses, pending, put, puts } = setUp(new LockingStore())
  await put('former', await lockOf(store))
  let answer = () => {}
  store.before = (operation) => {
    if (operation !== 'put') return
    return new Promise((_, reject) => {
      answer = () => reject(new Error('full'))
    })
  }
  clock.advance(1_000)
  await expect.poll(puts).toBe(2)
  pending.supersede(key)
  answer()
  await new Promise(setImmediate)
  expect(clock.pending).toBe(0)
  expect(pauses).toEqual([1_000])
  expect(store.held(key)).toBe(false)
})

test('close stores the value and releases its lock', async () => {
  const { store, clock, accept, pending, put } = setUp(new LockingStore())
  await put('value', await lockOf(store))
  accept()
  await pending.close(10_000)
  expect(text(store.values.get(key))).toBe('value')
  expect(store.held(key)).toBe(false)
  expect(clock.pending).toBe(0)
})

test('close releases the lock of a value that the store rejects once more, and schedules no retry', async () => {
  const { store, clock, pauses, pending, put } = setUp(new LockingStore())
  await put('value', await lockOf(store))
  await expect(pending.close(10_000)).rejects.toMatchObject({
    message: 'cannot store 1 value: full',
    errors: [{ message: 'full' }],
  })
  expect(store.held(key)).toBe(false)
  expect(clock.pending).toBe(0)
  expect(pauses).toEqual([1_000])
})

test('close waits at most 10 s for each put, and then releases its lock', async () => {
  const { store, clock, pending, put } = setUp(new LockingStore())
  await put('one', await lockOf(store))
  await put('two', await lockOf(store, 'b.example'), 'b.example')
  store.before = (operation) => (operation === 'put' ? new Promise(() => {}) : undefined)
  const closed = pending.close(10_000)
  closed.catch(() => undefined)
  clock.advance(9_999)
  await new Promise(setImmediate)
  expect(store.held(key)).toBe(true)
  clock.advance(1)
  await expect(closed).rejects.toMatchObject({
    message:
      'cannot store 2 values: "a.example" was not stored within 10 s; "b.example" was not stored within 10 s',
    errors: [{ code: 'ERR_DEADLINE' }, { code: 'ERR_DEADLINE' }],
  })
  expect([store.held(key), store.held('b.example')]).toEqual([false, false])
  expect(clock.pending).toBe(0)
})

test('close waits at most 10 s in all for the put and the release of the lock', async () => {
  const { store, clock, accept, pending, put } = setUp(new LockingStore())
  await put('value', await lockOf(store))
  accept()
  store.before = (operation) => (operation === 'unlock' ? new Promise(() => {}) : undefined)
  const closed = vi.fn()
  void pending.close(10_000).then(closed)
  await expect.poll(() => store.operations.at(-1)).toBe(`unlock ${key}`)
  clock.advance(9_999)
  await new Promise(setImmediate)
  expect(closed).not.toHaveBeenCalled()
  clock.advance(1)
  await expect.poll(() => closed).toHaveBeenCalledOnce()
  expect(text(store.values.get(key))).toBe('value')
})

test('close does not wait for the release of a lock after 10 s', async () => {
  const { store, clock, pending, put } = setUp(new LockingStore())
  await put('value', await lockOf(store))
  store.before = () => new Promise(() => {})
  const failed = vi.fn()
  pending.close(10_000).catch(failed)
  clock.advance(10_000)
  await expect.poll(() => store.operations.at(-1)).toBe(`unlock ${key}`)
  clock.advance(0)
  await expect.poll(() => failed).toHaveBeenCalledOnce()
})

test('close resolves even if a lock cannot be released', async () => {
  const { store, accept, pending, put } = setUp(new LockingStore())
  await put('value', await lockOf(store))
  accept()
  store.before = (operation) => operation === 'unlock' && fail('down')
  await pending.close(10_000)
  expect(text(store.values.get(key))).toBe('value')
  expect(store.operations.at(-1)).toBe(`unlock ${key}`)
})

test('put does not wait for the next lock when its own is lost', async () => {
  const { store, pending, put } = setUp(new LockingStore())
  const lock = await lockOf(store)
  store.lose(key)
  await lockOf(store)
  expect(await put('value', lock)).toBe('pending')
  expect(text(pending.get(key))).toBe('value')
})

test('a lost lock aborts the put that it protects', async () => {
  const { store, put } = setUp(new LockingStore())
  const lock = await lockOf(store)
  let seen: AbortSignal | undefined
  store.put = async (_key, _data, options?: CacheOperationOptions) => {
    seen = options?.signal
    store.lose(key)
    options?.signal?.throwIfAborted()
  }
  expect(await put('value', lock)).toBe('pending')
  expect(seen?.reason).toMatchObject({ code: 'ERR_LOCK_LOST' })
})

test('the loss of the next lock aborts the put that this lock protects', async () => {
  const { store, clock, accept, put } = setUp(new LockingStore())
  accept()
  const lock = await lockOf(store)
  store.lose(key)
  const signals: (AbortSignal | undefined)[] = []
  const storePut = store.put.bind(store)
  store.put = async (name, data, options?: CacheOperationOptions) => {
    signals.push(options?.signal)
    if (signals.length === 1) store.lose(key)
    options?.signal?.throwIfAborted()
    await storePut(name, data)
  }
  expect(await put('value', lock)).toBe('pending')
  const stored = () => {
    clock.advance(1_000)
    return text(store.values.get(key))
  }
  await expect.poll(stored).toBe('value')
  expect(signals.map((signal) => signal?.aborted)).toEqual([true, false])
})

test('a value of a peer that is not accepted is overwritten, and not adopted', async () => {
  const { store, accept, pending } = setUp(new LockingStore())
  accept()
  const lock = await lockOf(store)
  store.lose(key)
  store.values.set(key, bytes('expired'))
  const onAdopted = vi.fn()
  const usable = (data: Uint8Array) => (text(data) === 'expired' ? undefined : Buffer.from(data))
  const options = { data: bytes('value'), lock, usable, onAdopted }
  expect(await pending.put(key, bytes('value'), options)).toBe('pending')
  await expect.poll(() => text(store.values.get(key))).toBe('value')
  await expect.poll(() => store.held(key)).toBe(false)
  expect(onAdopted).not.toHaveBeenCalled()
})

test('a first put that fails after its value was superseded leaves the lock to its caller', async () => {
  const { store, clock, pending, put } = setUp(new LockingStore())
  let answer = () => {}
  store.before = (operation) =>
    operation === 'put' &&
    new Promise((_, reject) => {
      answer = () => reject(new Error('full'))
    })
  const outcome = put('former', await lockOf(store))
  pending.supersede(key)
  // The caller holds the lock while its put runs.
  expect(store.operations).not.toContain(`unlock ${key}`)
  answer()
  // The caller releases the lock of a value that is not pending.
  expect(await outcome).toBe('stored')
  expect(store.held(key)).toBe(true)
  expect(clock.pending).toBe(0)
})

test('a put that ends after its value was superseded does not remove the newer value', async () => {
  const { store, pending, put } = setUp(new MemoryStore())
  const answers: (() => void)[] = []
  store.before = () => new Promise<void>((resolve) => answers.push(resolve))
  const former = put('former')
  const newer = put('newer')
  answers[0]?.()
  await former
  expect(text(pending.get(key))).toBe('newer')
  answers[1]?.()
  expect(await newer).toBe('stored')
  expect(pending.get(key)).toBeUndefined()
})

test('a put that fails without a listener emits a process warning', async () => {
  const warnings: Error[] = []
  const listener = (warning: Error) => void warnings.push(warning)
  process.on('warning', listener)
  onTestFinished(() => void process.off('warning', listener))
  const store = new MemoryStore()
  store.before = () => fail('full')
  const pending = new PendingWrites<Buffer>(store, new VirtualClock())
  const options = { data: bytes('value'), lock: undefined, usable: Buffer.from, onAdopted: () => {} }
  await pending.put(key, bytes('value'), options)
  await expect
    .poll(() => warnings)
    .toMatchObject([
      {
        name: 'CertCacheWarning',
        message:
          'acme-cert-cache: cannot store "a.example", which is served from memory (next attempt in 1 s): full',
      },
    ])
})

test.each([409, 412])(
  'gives the lock back after three answers with status %d, and keeps retrying',
  async (statusCode) => {
    const { store, clock, pauses, accept, pending, put, puts } = setUp(new LockingStore())
    store.before = (operation) => {
      if (operation === 'put') throw new StoreError('ERR_STORE_FAILED', 'leased', { statusCode })
    }
    const refused: boolean[] = []
    const onRefused = async () => void refused.push(store.held(key))
    await put('value', await lockOf(store), key, onRefused)
    for (let attempt = 2; attempt <= 3; attempt++) {
      expect(store.held(key)).toBe(true)
      clock.advance(pauses.at(-1) as number)
      await expect.poll(() => pauses).toHaveLength(attempt)
    }
    await expect.poll(() => store.held(key)).toBe(false)
    // The fleet's record is written under the lock, once.
    expect(refused).toEqual([true])
    expect(text(pending.get(key))).toBe('value')
    clock.advance(pauses.at(-1) as number)
    await expect.poll(puts).toBe(4)
    await expect.poll(() => pauses).toHaveLength(4)
    expect(refused).toHaveLength(1)
    accept()
    clock.advance(pauses.at(-1) as number)
    await expect.poll(() => text(store.values.get(key))).toBe('value')
    await expect.poll(() => store.held(key)).toBe(false)
  },
)

test('gives the lock back after a minute of any failures, and adopts the value of a peer', async () => {
  const { store, clock, pauses, pending, put } = setUp(new LockingStore())
  const refused: string[] = []
  await put('value', await lockOf(store), key, async ({ message }) => void refused.push(message))
  for (let attempt = 2; attempt <= 7; attempt++) {
    expect(store.held(key)).toBe(true)
    clock.advance(pauses.at(-1) as number)
    await expect.poll(() => pauses).toHaveLength(attempt)
  }
  await expect.poll(() => store.held(key)).toBe(false)
  expect(refused).toEqual(['full'])
  store.values.set(key, bytes('of a peer'))
  clock.advance(pauses.at(-1) as number)
  await expect.poll(() => pending.get(key)).toBeUndefined()
  expect(text(store.values.get(key))).toBe('of a peer')
})
