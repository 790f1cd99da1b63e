import { AssertionError } from 'node:assert'
import { expect, test } from 'vitest'
import type { CacheOperationOptions, CertCache } from '../../src/index.js'
import { certCacheContract, type MemoryCertCache } from '../../src/testing/index.js'
import { memory } from './backends.js'

export type Options = CacheOperationOptions | undefined
export type StoreClass = new (inner: MemoryCertCache) => CertCache

/** A store with a deliberate defect: the defect, the names of the cases that must fail, and its class. */
export type BrokenStore = readonly [defect: string, failingCases: RegExp, Store: StoreClass]

/** Forwards every operation to a store that works. A subclass breaks one of them. */
export class ForwardingStore implements CertCache {
  protected readonly inner: MemoryCertCache

  constructor(inner: MemoryCertCache) {
    this.inner = inner
  }
  get(key: string, options?: Options): Promise<Uint8Array | undefined> {
    return this.inner.get(key, options)
  }
  put(key: string, data: Uint8Array, options?: Options) {
    return this.inner.put(key, data, options)
  }
  delete(key: string, options?: Options) {
    return this.inner.delete(key, options)
  }
  list(options?: Options) {
    return this.inner.list(options)
  }
  tryLock(name: string, options?: Options) {
    return this.inner.tryLock(name, options)
  }
}

/** Tests that the contract detects each of these stores. */
export function testDetection(stores: readonly BrokenStore[]): void {
  test.for(stores)('%s', async ([_, failingCases, Store]) => {
    const contract = certCacheContract(memory((store) => new Store(store)))
    const cases = contract.filter(({ name }) => failingCases.test(name))
    expect(cases.length).toBeGreaterThan(0)
    for (const { run } of cases) {
      const error = await run().then(
        () => undefined,
        (reason: unknown) => reason,
      )
      expect(error).toBeInstanceOf(AssertionError)
      // The case fails by its assertion, not by a bug in the test's store.
      expect((error as Error).message).not.toMatch(/(Type|Reference)Error/)
    }
  })
}
