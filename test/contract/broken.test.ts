// Stores that break one promise each: the contract has to find every one of them.
import { AssertionError } from 'node:assert'
import { describe, expect, test } from 'vitest'
import type { CertCache } from '../../src/index.js'
import { certCacheContract, MemoryCertCache } from '../../src/testing/index.js'
import { brokenLocks } from './broken-locks.js'
import { brokenValues } from './broken-values.js'
import type { Options } from './through.js'

describe.concurrent('a store is found out that', () => {
  test.for([...brokenValues, ...brokenLocks])('%s', async ([_, part, Store]) => {
    const cases = certCacheContract({
      async open() {
        const memory = new MemoryCertCache()
        return {
          store: new Store(memory),
          peer: async () => new Store(memory.peer()),
          cutOff: () => memory.cutOff(),
          mend: () => memory.mend(),
          close: async () => {},
        }
      },
    }).filter(({ name }) => part.test(name))
    expect(cases.length).toBeGreaterThan(0)
    for (const { run } of cases) {
      const error = await run().then(
        () => undefined,
        (thrown: unknown) => thrown,
      )
      expect(error).toBeInstanceOf(AssertionError)
      // Found out by the contract, and not by a slip in the store above.
      expect((error as Error).message).not.toMatch(/(Type|Reference)Error/)
    }
  })
})

test('parts that a store lacks are left out where that is said, and fail where it is not', async () => {
  class Plain implements CertCache {
    readonly #inner = new MemoryCertCache()
    get = (key: string, options?: Options) => this.#inner.get(key, options)
    put = (key: string, data: Uint8Array, options?: Options) => this.#inner.put(key, data, options)
    delete = (key: string, options?: Options) => this.#inner.delete(key, options)
  }
  const open = async () => {
    const store = new Plain()
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

test('what a store throws is told by the case, and its place is closed', async () => {
  let closed = 0
  const [first] = certCacheContract({
    async open() {
      const store = new MemoryCertCache()
      store.get = () => Promise.reject(new TypeError('not connected'))
      return {
        store,
        peer: async () => store.peer(),
        close: async () => {
          closed += 1
        },
      }
    },
  })
  await expect(first?.run()).rejects.toThrow(/never written.*failed with TypeError: not connected/)
  expect(closed).toBe(1)
})
