import { describe, expect, test } from 'vitest'
import type { CertCache } from '../../src/index.js'
import { certCacheContract, MemoryCertCache } from '../../src/testing/index.js'
import { brokenLocks } from './broken-locks.js'
import { type Options, testDetection } from './broken-store.js'
import { brokenValues } from './broken-values.js'

describe('the contract detects a store that', () => testDetection([...brokenValues, ...brokenLocks]))

test('the contract skips the parts in `without`, and fails when a store lacks another part', async () => {
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
  await expect(firstCase?.run()).rejects.toThrow(/never written.*failed with TypeError: not connected/)
  expect(closeCount).toBe(1)
})
