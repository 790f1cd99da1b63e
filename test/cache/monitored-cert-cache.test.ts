import { getEventListeners } from 'node:events'
import { inspect } from 'node:util'
import { expect, onTestFinished, test, vi } from 'vitest'
import {
  type CacheOperationOptions,
  type CertCache,
  isLocking,
  type LockingCertCache,
} from '../../src/cache/cert-cache.js'
import { monitorCertCache } from '../../src/cache/monitored-cert-cache.js'
import { StoreError } from '../../src/index.js'
import { LockingStore } from '../support/locking-store.js'
import { MemoryStore } from '../support/memory-store.js'
import { VirtualClock } from '../support/virtual-clock.js'

const failures: { operation: string; key: string; error: Error }[] = []
const guard = <S extends MemoryStore>(store: S) => {
  failures.length = 0
  const clock = new VirtualClock()
  return { store, clock, monitored: monitorCertCache(store, clock, (failure) => failures.push(failure)) }
}

test('supports locks only if the store does', () => {
  expect(isLocking(guard(new MemoryStore()).monitored)).toBe(false)
  expect(isLocking(guard(new LockingStore()).monitored)).toBe(true)
})

test('an error of any store becomes a StoreError without its other properties, and is reported once', async () => {
  const { store, monitored } = guard(new MemoryStore())
  store.before = () => {
    throw Object.assign(new Error('down'), { request: { authorization: 'SECRET' } })
  }
  await expect(monitored.get('a.example')).rejects.toMatchObject({
    code: 'ERR_STORE_FAILED',
    cause: { message: 'down' },
  })
  expect(failures).toMatchObject([{ operation: 'get', key: 'a.example' }])
  expect(inspect(failures, { depth: 9, showHidden: true })).not.toContain('SECRET')
})

test('an operation that hangs rejects with ERR_STORE_TIMEOUT after 30 s', async () => {
  const { store, clock, monitored } = guard(new MemoryStore())
  store.before = () => new Promise(() => {})
  const ended = expect(monitored.put('a.example', Buffer.from('x'))).rejects.toMatchObject({
    code: 'ERR_STORE_TIMEOUT',
  })
  await expect.poll(() => clock.pending).toBe(1)
  clock.advance(29_999)
  expect(clock.pending).toBe(1)
  clock.advance(1)
  await ended
})

test('releases a lock that is granted after tryLock has timed out', async () => {
  const { store, clock, monitored } = guard(new LockingStore())
  if (!isLocking(monitored)) return expect.unreachable()
  let grant = () => {}
  const tryLock = store.tryLock.bind(store)
  store.tryLock = async (name) => {
    await new Promise<void>((resolve) => {
      grant = resolve
    })
    return tryLock(name)
  }
  const ended = expect(monitored.tryLock('a.example')).rejects.toMatchObject({ code: 'ERR_STORE_TIMEOUT' })
  await expect.poll(() => clock.pending).toBe(1)
  clock.advance(30_000)
  await ended
  grant()
  await expect.poll(() => store.operations).toEqual(['lock a.example', 'unlock a.example'])
  expect(store.held('a.example')).toBe(false)
})

test('a lock that is lost is reported once', async () => {
  const { store, monitored } = guard(new LockingStore())
  if (!isLocking(monitored)) return expect.unreachable()
  const lock = await monitored.tryLock('a.example')
  store.lose('a.example')
  expect(lock?.signal.aborted).toBe(true)
  expect(failures).toMatchObject([{ operation: 'lock', key: 'a.example', error: { code: 'ERR_LOCK_LOST' } }])
  await lock?.release()
  expect(failures).toHaveLength(1)
})

test('a lock that was released is not reported when its signal aborts later', async () => {
  const { store, monitored } = guard(new LockingStore())
  if (!isLocking(monitored)) return expect.unreachable()
  const lost = new AbortController()
  store.tryLock = async () => ({ signal: lost.signal, release: async () => {} })
  const lock = await monitored.tryLock('a.example')
  expect(getEventListeners(lost.signal, 'abort')).toHaveLength(1)
  await lock?.release()
  expect(getEventListeners(lost.signal, 'abort')).toHaveLength(0)
  lost.abort(new Error('the lease has ended'))
  expect(failures).toEqual([])
})

const everyOperation: Record<
  string,
  (cache: CertCache, options?: CacheOperationOptions) => Promise<unknown>
> = {
  get: (cache, options) => cache.get('a.example', options),
  put: (cache, options) => cache.put('a.example', Buffer.from('x'), options),
  delete: (cache, options) => cache.delete('a.example', options),
  lock: (cache, options) => (cache as LockingCertCache).tryLock('a.example', options),
}

test.each(Object.entries(everyOperation))(
  'a %s that its caller aborts rejects with the reason; it is not reported and does not open the circuit',
  async (_, run) => {
    const { store, monitored } = guard(new LockingStore())
    const reason = new Error('the client has gone')
    let controller = new AbortController()
    store.before = () => {
      controller.abort(reason)
      throw new StoreError('ERR_STORE_UNREACHABLE', 'the request was aborted')
    }
    for (let times = 0; times < 10; times++) {
      controller = new AbortController()
      await expect(run(monitored, { signal: controller.signal })).rejects.toBe(reason)
    }
    expect(failures).toEqual([])
    expect(store.take()).toHaveLength(10)
    store.before = () => {}
    await run(monitored)
    expect(store.take()).toHaveLength(1)
  },
)

test.each(Object.entries(everyOperation))('a %s removes its timer and its listener', async (_, run) => {
  const { store, clock, monitored } = guard(new LockingStore())
  const { signal } = new AbortController()
  await run(monitored, { signal })
  store.before = () => Promise.reject(new Error('down'))
  await expect(run(monitored, { signal })).rejects.toThrow('down')
  expect(clock.pending).toBe(0)
  expect(getEventListeners(signal, 'abort')).toEqual([])
})

test.each(Object.entries(everyOperation))(
  'a %s that times out aborts the signal of the store',
  async (_, run) => {
    const { store, clock, monitored } = guard(new LockingStore())
    const signals: (AbortSignal | undefined)[] = []
    const hang = (options?: CacheOperationOptions) => {
      signals.push(options?.signal)
      return new Promise<never>(() => {})
    }
    Object.assign(store, {
      get: (_key: string, options?: CacheOperationOptions) => hang(options),
      put: (_key: string, _data: Uint8Array, options?: CacheOperationOptions) => hang(options),
      delete: (_key: string, options?: CacheOperationOptions) => hang(options),
      tryLock: (_name: string, options?: CacheOperationOptions) => hang(options),
    })
    const ended = expect(run(monitored)).rejects.toMatchObject({ code: 'ERR_STORE_TIMEOUT' })
    expect(signals.map((signal) => signal?.aborted)).toEqual([false])
    clock.advance(30_000)
    await ended
    expect(signals[0]?.reason).toMatchObject({ code: 'ERR_STORE_TIMEOUT' })
  },
)

test('a lock’s signal is read from the store’s lock each time', async () => {
  const { store, monitored } = guard(new LockingStore())
  if (!isLocking(monitored)) return expect.unreachable()
  const lock = await monitored.tryLock('a.example')
  expect(lock?.signal.aborted).toBe(false)
  store.loseUnnoticed('a.example')
  expect(lock?.signal.aborted).toBe(true)
})

test('stops calling a store after 5 failures, and reports each failure once', async () => {
  const { store, monitored } = guard(new LockingStore())
  store.before = () => Promise.reject(new Error('down'))
  for (let times = 0; times < 20; times++) await expect(monitored.get('a.example')).rejects.toThrow('down')
  expect(store.take()).toHaveLength(5)
  expect(failures).toHaveLength(5)
})

test('releases a lock even while the circuit is open', async () => {
  const { store, monitored } = guard(new LockingStore())
  if (!isLocking(monitored)) return expect.unreachable()
  const lock = await monitored.tryLock('a.example')
  store.before = (operation) => operation !== 'unlock' && Promise.reject(new Error('down'))
  for (let times = 0; times < 5; times++) await monitored.get('a.example').catch(() => undefined)
  store.take()
  await lock?.release()
  expect(store.take()).toEqual(['unlock a.example'])
  expect(store.held('a.example')).toBe(false)
})

test('a release that fails or never ends rejects and is reported as unlock', async () => {
  const { store, clock, monitored } = guard(new LockingStore())
  if (!isLocking(monitored)) return expect.unreachable()
  const first = await monitored.tryLock('a.example')
  store.before = (operation) => operation === 'unlock' && Promise.reject(new Error('down'))
  await expect(first?.release()).rejects.toMatchObject({ code: 'ERR_STORE_FAILED' })
  const second = await monitored.tryLock('b.example')
  store.before = (operation) => operation === 'unlock' && new Promise(() => {})
  const released = expect(second?.release()).rejects.toMatchObject({ code: 'ERR_STORE_TIMEOUT' })
  clock.advance(30_000)
  await released
  expect(failures.map(({ operation, key }) => `${operation} ${key}`)).toEqual([
    'unlock a.example',
    'unlock b.example',
  ])
})

test('null is a miss; any value other than a Uint8Array is an error', async () => {
  const { store, monitored } = guard(new MemoryStore())
  store.get = async () => null as never
  expect(await monitored.get('a.example')).toBeUndefined()
  store.get = async () => 'a string' as never
  await expect(monitored.get('a.example')).rejects.toThrow(/type string/)
  expect(failures).toMatchObject([{ operation: 'get', error: { code: 'ERR_STORE_FAILED' } }])
})

test('emits one process warning when locks are not permitted, and keeps trying to lock', async () => {
  const { store, monitored } = guard(new LockingStore())
  if (!isLocking(monitored)) return expect.unreachable()
  const warn = vi.spyOn(process, 'emitWarning').mockImplementation(() => {})
  onTestFinished(() => warn.mockRestore())
  let calls = 0
  store.before = () => {
    calls += 1
    return Promise.reject(new StoreError('ERR_STORE_PERMISSION', 'not allowed'))
  }
  for (let times = 0; times < 20; times++) {
    await expect(monitored.tryLock('a.example')).rejects.toMatchObject({ code: 'ERR_STORE_PERMISSION' })
  }
  expect(calls).toBe(20)
  const options = { type: 'CertCacheWarning', code: 'ERR_STORE_PERMISSION' }
  expect(warn.mock.calls).toEqual([[expect.stringContaining('not allowed'), options]])
})

const call = (cache: CertCache, operation: string) => everyOperation[operation]?.(cache) as Promise<unknown>

test.each([
  ['get', ['put', 'delete', 'lock']],
  ['put', ['get', 'lock']],
  ['delete', ['get', 'lock']],
  ['lock', ['get', 'put', 'delete']],
])(
  'while every %s fails, the store is still called for %j, and their success does not call it again',
  async (failing, others) => {
    const { store, monitored } = guard(new LockingStore())
    store.before = (operation) => operation === failing && Promise.reject(new Error('down'))
    for (let times = 0; times < 6; times++) {
      await expect(call(monitored, failing)).rejects.toThrow('down')
      for (const other of others) await call(monitored, other)
    }
    const calls = (operation: string) =>
      store.operations.filter((entry) => entry.startsWith(`${operation} `)).length
    expect(others.map(calls)).toEqual(others.map(() => 6))
    expect(calls(failing)).toBe(5)
  },
)

test('puts and deletes share one circuit', async () => {
  const { store, monitored } = guard(new MemoryStore())
  store.before = () => Promise.reject(new Error('down'))
  for (let times = 0; times < 6; times++) {
    await expect(call(monitored, 'put')).rejects.toThrow('down')
    await expect(call(monitored, 'delete')).rejects.toThrow('down')
  }
  expect(store.operations).toHaveLength(5)
})

test('a direct read reaches a recovered store at once, and closes the circuit of reads', async () => {
  const { store, monitored } = guard(new MemoryStore())
  store.before = () => Promise.reject(new Error('down'))
  for (const key of ['a.example', 'b.example', 'a.example', 'b.example', 'a.example'])
    await expect(monitored.get(key)).rejects.toThrow('down')
  await expect(monitored.direct.get('c.example')).rejects.toThrow('down')
  store.before = () => {}
  await expect(monitored.get('a.example')).rejects.toThrow('down')
  expect(await monitored.direct.get('c.example')).toBeUndefined()
  expect(await monitored.get('a.example')).toBeUndefined()
})
