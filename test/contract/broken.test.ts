import { AssertionError } from 'node:assert'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import type { CertCache } from '../../src/index.js'
import { certCacheContract, MemoryCertCache } from '../../src/testing/index.js'
import { brokenLocks } from './broken-locks.js'
import { brokenResults } from './broken-results.js'
import { type Options, testDetection } from './broken-store.js'
import { brokenValues } from './broken-values.js'

describe('the contract detects a store that', () =>
  testDetection([...brokenValues, ...brokenResults, ...brokenLocks]))

test('the contract skips the parts in without, and fails for a store that lacks another part', async () => {
  class MinimalStore implements CertCache {
    readonly #inner = new MemoryCertCache()
    get = (key: string, options?: Options) => this.#inner.get(key, options)
    put = (key: string, data: Uint8Array, options?: Options) => this.#inner.put(key, data, options)
    delete = (key: string, options?: Options) => this.#inner.delete(key, options)
  }
  const open = async () => {
    const store = new MinimalStore()
    return { store, peer: async () => store, close: async () => {} }
  }
  for (const { run } of certCacheContract({ open, without: ['locks', 'list', 'cutOff'] })) await run()
  const failures: string[] = []
  for (const { run } of certCacheContract({ open })) {
    await run().catch((error: Error) => failures.push(error.message))
  }
  for (const part of ['locks', 'list', 'cutOff']) {
    expect(failures).toContainEqual(expect.stringContaining(`without: ['${part}']`))
  }
})

test('a case ends on a store that answers without any I/O while a peer writes over a network', async () => {
  const place = new Map<string, Uint8Array>()
  const cached = new Map<string, Uint8Array>()
  const write = async (key: string, data: Uint8Array) => {
    await new Promise(setImmediate)
    place.set(key, data)
  }
  const store = {
    get: async (key: string) => cached.get(key) ?? place.get(key),
    async put(key: string, data: Uint8Array) {
      cached.set(key, Buffer.from(data))
      await write(key, data)
    },
    delete: async (key: string) => void place.delete(key),
  }
  const peer = { ...store, get: async (key: string) => place.get(key), put: write }
  const open = async () => ({ store, peer: async () => peer, close: async () => {} })
  const cases = certCacheContract({ open, without: ['locks', 'list', 'cutOff'] })
  const concurrent = cases.find(({ name }) => name.startsWith('concurrent writes never mix'))
  await expect(concurrent?.run()).resolves.toBeUndefined()
})

test('a case reports the error of the store and closes its place', async () => {
  let closeCount = 0
  const [firstCase] = certCacheContract({
    async open() {
      const store = new MemoryCertCache()
      store.get = () => Promise.reject(new TypeError('not connected'))
      return {
        store,
        peer: async () => store.peer(),
        close: async () => {
          closeCount += 1
        },
      }
    },
  })
  await expect(firstCase?.run()).rejects.toThrow(
    /does not exist: the store failed with TypeError: not connected/,
  )
  expect(closeCount).toBe(1)
})

test('the time-out of a case is 60 s, or 180 s if the case waits for a lock to expire', () => {
  const open = () => Promise.reject(new Error('not opened'))
  const timeouts = new Map(certCacheContract({ open }).map(({ name, timeoutMs }) => [name, timeoutMs]))
  const slow = [...timeouts].filter(([, timeoutMs]) => timeoutMs === 180_000).map(([name]) => name)
  expect(new Set(timeouts.values())).toEqual(new Set([60_000, 180_000]))
  expect(slow).toEqual([
    expect.stringContaining('an aborted tryLock'),
    expect.stringContaining('for more than a minute'),
    expect.stringContaining('another machine acquires the lock'),
  ])
})

test('a case rejects and closes its place when the store does not respond within timeoutMs', async () => {
  const { setTimeout: set } = globalThis
  const timeouts: (() => void)[] = []
  const spy = vi.spyOn(globalThis, 'setTimeout').mockImplementation(((callback: () => void, ms?: number) => {
    if (ms !== 60_000) return set(callback, ms)
    timeouts.push(callback)
    return set(() => undefined)
  }) as typeof setTimeout)
  onTestFinished(() => void spy.mockRestore())
  let closeCount = 0
  const [firstCase] = certCacheContract({
    async open() {
      const store = new MemoryCertCache()
      store.get = () => new Promise(() => {})
      return {
        store,
        peer: async () => store.peer(),
        close: async () => {
          closeCount += 1
        },
      }
    },
  })
  const outcome = firstCase?.run().catch((error: unknown) => error)
  await expect.poll(() => timeouts.length).toBe(1)
  expect(closeCount).toBe(0)
  timeouts[0]?.()
  expect(await outcome).toMatchObject({
    name: 'AssertionError',
    message: expect.stringMatching(/does not exist: timed out after 60 s/),
  })
  expect(closeCount).toBe(1)
})

test('a case rejects with an AssertionError, whose cause is the error of the store', async () => {
  const cause = new TypeError('not connected')
  const [firstCase] = certCacheContract({
    async open() {
      const store = new MemoryCertCache()
      store.get = () => Promise.reject(cause)
      return { store, peer: async () => store.peer(), close: async () => {} }
    },
  })
  const error = await firstCase?.run().catch((error: unknown) => error)
  expect(error).toBeInstanceOf(AssertionError)
  expect(error).toMatchObject({ cause })
})

const open = () => Promise.reject(new Error('not opened'))

test.each([
  [
    'a second argument',
    [{ open }, { without: ['locks'] }],
    /second argument.*in the backend: \{ open, without/,
  ],
  ['an unknown option', [{ open, withot: ['locks'] }], /unknown option "withot"\. Did you mean "without"\?/],
  ['a backend without open', [{ without: ['locks'] }], /open must be a function/],
  ['no backend', [undefined], /backend must be an object/],
  [
    'a part that is not in an array',
    [{ open, without: 'locks' }],
    /without must be an array of locks, list, cutOff/,
  ],
  ['an unknown part', [{ open, without: ['lock'] }], /must be one of locks, list, cutOff/],
])('certCacheContract throws a TypeError for %s', (_, args, message) => {
  const create = () => Reflect.apply(certCacheContract, undefined, args)
  expect(create).toThrow(TypeError)
  expect(create).toThrow(message)
})

test('certCacheContract can be passed to map', () => {
  expect([{ open }].map(certCacheContract)).toHaveLength(1)
})

test('a case rejects with a TypeError that names the missing members of the place, and closes the place', async () => {
  let closeCount = 0
  const close = async () => {
    closeCount += 1
  }
  const store = new MemoryCertCache()
  const runWith = async (place: object | undefined) => {
    const [firstCase] = certCacheContract({ open: async () => place as never })
    return firstCase?.run().catch((error: unknown) => error)
  }
  expect(await runWith({ store, close })).toMatchObject({
    name: 'TypeError',
    message: expect.stringContaining('has no peer(), which opens another handle'),
  })
  expect(closeCount).toBe(1)
  expect(await runWith({ peer: async () => store })).toMatchObject({
    message: expect.stringMatching(/no store, .*; and no close\(\), /),
  })
  expect(await runWith(undefined)).toMatchObject({ message: expect.stringContaining('no store') })
})
