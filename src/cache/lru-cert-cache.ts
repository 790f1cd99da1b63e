import { type Clock, checkClock, systemClock } from '../util/clock.js'
import { ClosedError } from '../util/errors.js'
import { callback, maxMemoryEntries, optional, plainObject, positiveInteger } from '../util/validate.js'
import {
  assertCacheKey,
  assertCertCache,
  type CacheOperationOptions,
  type CertCache,
  type CertCacheLock,
} from './cert-cache.js'
import { MemoryTier } from './memory-tier.js'
import type { PutFailedListener } from './pending-writes.js'

/** Options of `LruCertCache`. */
export interface LruCertCacheOptions {
  /**
   * Maximum number of values in memory: a whole number from 1 to 1,000,000. Default: 1,000.
   *
   * A certificate with its key takes about 3 KiB. Under a `CertManager` its live `SecureContext` adds about 40 KiB:
   * 1,000 hosts in use take about 50 MB, and up to 350 MB if many more than 1,000 hosts come and go.
   */
  max?: number
  /**
   * Called when the store rejects a value that `getOrPut` produced. The value is served from memory, and the put is
   * retried after `retryInMs` milliseconds. Default: emits a Node process warning.
   */
  onPutFailed?: (failure: { key: string; error: Error; retryInMs: number }) => void
  /** The time source, for tests. Default: the system clock. */
  clock?: Clock
}

export interface GetOrPutOptions extends CacheOperationOptions {
  /**
   * Returns whether a value from memory or the store is usable. An unusable value (expired, truncated, …) is a miss; it
   * stays in the store until the new value replaces it. Default: accepts every value.
   */
  accept?: (data: Uint8Array) => boolean
  /**
   * Called on a miss: before the fleet's lock is requested, and repeatedly while another machine holds the lock. If it
   * rejects, so does `getOrPut`. Default: none.
   */
  beforeLock?: () => Promise<unknown>
}

/**
 * Produces a value. `lock` is the fleet's lock for the key, if the store has locks. Read its `signal` again before each
 * step that must not happen twice.
 */
export type Produce = (lock?: Pick<CertCacheLock, 'signal'>) => Promise<Uint8Array>

/**
 * Puts a bounded in-memory LRU in front of any {@link CertCache}. Concurrent reads of a key share one store read. Is
 * itself a `CertCache`.
 *
 * A value in memory is not compared with the store again. A value that another machine has written since is seen after
 * the one in memory is evicted, or not accepted by the `accept` option of `getOrPut`. Values are not copied: do not
 * modify the bytes that you pass in or receive.
 */
export class LruCertCache implements CertCache {
  readonly #tier: MemoryTier<string, Uint8Array>

  /** @throws {TypeError} naming the invalid option */
  constructor(store: CertCache, options: LruCertCacheOptions = {}) {
    assertCertCache(store, 'LruCertCache: store')
    const { max, onPutFailed, clock } = plainObject<LruCertCacheOptions>('LruCertCache: options', options, {
      max: true,
      onPutFailed: true,
      clock: true,
    })
    this.#tier = new MemoryTier({
      store,
      keyOf: (key) => key,
      max: positiveInteger('LruCertCache: max', max ?? 1_000, maxMemoryEntries),
      clock: optional('LruCertCache: clock', clock, checkClock) ?? systemClock,
      onPutFailed: optional('LruCertCache: onPutFailed', onPutFailed, callback<PutFailedListener>),
      decode: (_key, data) => data,
      encode: (data) => data,
    })
  }

  /**
   * Returns the value in memory without reading the store. Counts as a use: the value becomes the most recently used
   * one.
   */
  peek(key: string): Uint8Array | undefined {
    return this.#tier.peek(key)
  }

  /** Returns the values in memory, most recently used first. */
  values(): IterableIterator<Uint8Array> {
    return this.#tier.values()
  }

  async get(key: string, options?: CacheOperationOptions): Promise<Uint8Array | undefined> {
    assertCacheKey(key)
    return this.#tier.get(key, options?.signal)
  }

  /**
   * Reads the store even if the value is in memory. Replaces the value in memory with the stored one if `accept`
   * returns true for it. Otherwise, and if the key is no longer in the store, memory is unchanged.
   */
  async refresh(
    key: string,
    { accept = () => true, signal }: Pick<GetOrPutOptions, 'accept' | 'signal'> = {},
  ): Promise<void> {
    assertCacheKey(key)
    await this.#tier.refresh(key, accept, signal)
  }

  async put(key: string, data: Uint8Array, options?: CacheOperationOptions): Promise<void> {
    assertCacheKey(key)
    await this.#tier.put(key, data, options)
  }

  async delete(key: string, options?: CacheOperationOptions): Promise<void> {
    assertCacheKey(key)
    await this.#tier.delete(key, options)
  }

  /**
   * Returns the value from memory, else from the store, else from `produce()`.
   *
   * `produce` runs once for any number of concurrent callers, who share its rejection too. If the store has locks, it
   * runs once for the whole fleet. The produced value is kept in memory and put into the store. If the put fails, the
   * value is served from memory and the put is retried until it succeeds: see `onPutFailed`. This machine keeps the
   * fleet's lock for a minute of failures at most, and for three refusals (status 409 or 412) in a row. Later attempts
   * acquire the lock again, and adopt an accepted value that another machine has stored since.
   *
   * Rejects with the store's error if the read fails: `produce` runs only after a definite miss. Aborting `signal` ends
   * this caller's wait, not the work.
   */
  async getOrPut(
    key: string,
    produce: Produce,
    { accept = () => true, beforeLock, signal }: GetOrPutOptions = {},
  ): Promise<Uint8Array> {
    assertCacheKey(key)
    return this.#tier.getOrPut(key, produce, { accept, beforeLock, whileWaiting: beforeLock, signal })
  }

  /**
   * Stops waiting for other machines, waits for values that are being produced, and retries each failed put once more:
   * 10 s in all.
   * @throws {AggregateError} with the errors of the puts that failed again
   */
  close(): Promise<void> {
    return this.#tier.close(10_000, new ClosedError('the LruCertCache was closed'))
  }
}
