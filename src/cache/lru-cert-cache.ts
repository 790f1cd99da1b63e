import { LRUCache } from 'lru-cache'
import { type Clock, checkClock, systemClock } from '../util/clock.js'
import { abortable, sharedController, withDeadline } from '../util/deadline.js'
import { ClosedError, DeadlineError } from '../util/errors.js'
import { warnUnhandled } from '../util/safe-call.js'
import { callback, maxMemoryEntries, optional, plainObject, positiveInteger } from '../util/validate.js'
import {
  assertCacheKey,
  assertCertCache,
  type CacheOperationOptions,
  type CertCache,
  type CertCacheLock,
} from './cert-cache.js'
import type { PendingWrites, PutFailedListener } from './pending-writes.js'
import { SharedReads } from './shared-reads.js'

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

/** How long `close()` waits for values that are being produced. */
const closeMs = 15_000

/** A call of `produce` that all callers with the same key share. */
interface Production {
  readonly result: Promise<Uint8Array>
  /** The stored value that the first caller did not accept. */
  readonly refused: Uint8Array | undefined
}

/**
 * Puts a bounded in-memory LRU in front of any {@link CertCache}. Concurrent reads of a key share one store read. Is
 * itself a `CertCache`.
 *
 * A value in memory is not compared with the store again. A value that another machine has written since is seen after
 * the one in memory is evicted, or not accepted by the `accept` option of `getOrPut`. Values are not copied: do not
 * modify the bytes that you pass in or receive.
 */
export class LruCertCache implements CertCache {
  readonly #store: CertCache
  readonly #memory: LRUCache<string, Uint8Array>
  readonly #clock: Clock
  readonly #onPutFailed: PutFailedListener | undefined
  #pendingWrites: PendingWrites | undefined
  readonly #closing = sharedController()
  // Pending work is not in the LRU, as it would be with LRUCache's `fetch`: an eviction would abort it, or let a second
  // caller start it again. Reads and productions are kept only while they are pending.
  readonly #reads: SharedReads
  readonly #productions = new Map<string, Production>()

  /** @throws {TypeError} naming the invalid option */
  constructor(store: CertCache, options: LruCertCacheOptions = {}) {
    assertCertCache(store, 'LruCertCache: store')
    const { max, onPutFailed, clock } = plainObject('LruCertCache: options', options)
    this.#store = store
    this.#reads = new SharedReads(store)
    this.#memory = new LRUCache({
      max: positiveInteger('LruCertCache: max', max ?? 1_000, maxMemoryEntries),
    })
    this.#clock = optional('LruCertCache: clock', clock, checkClock) ?? systemClock
    this.#onPutFailed = optional('LruCertCache: onPutFailed', onPutFailed, callback<PutFailedListener>)
  }

  /**
   * Returns the value in memory without reading the store. Counts as a use: the value becomes the most recently used
   * one.
   */
  peek(key: string): Uint8Array | undefined {
    return this.#memory.get(key) ?? this.#pendingWrites?.get(key)
  }

  /** Returns the values in memory, most recently used first. */
  values(): IterableIterator<Uint8Array> {
    return this.#memory.values()
  }

  async get(key: string, options?: CacheOperationOptions): Promise<Uint8Array | undefined> {
    assertCacheKey(key)
    return this.peek(key) ?? (await this.#readStore(key, () => true, options?.signal))?.data
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
    if (!this.#pendingWrites?.get(key)) await this.#readStore(key, accept, signal)
  }

  async put(key: string, data: Uint8Array, options?: CacheOperationOptions): Promise<void> {
    assertCacheKey(key)
    await this.#write(key, () => this.#store.put(key, data, options))
    this.#memory.set(key, data)
  }

  async delete(key: string, options?: CacheOperationOptions): Promise<void> {
    assertCacheKey(key)
    await this.#write(key, () => this.#store.delete(key, options))
  }

  /**
   * Returns the value from memory, else from the store, else from `produce()`.
   *
   * `produce` runs once for any number of concurrent callers, who share its rejection too. If the store has locks, it
   * runs once for the whole fleet. The produced value is kept in memory and put into the store. If the put fails, the
   * value is served from memory and the put is retried until it succeeds: see `onPutFailed`. Until then this machine
   * keeps the fleet's lock as long as it can.
   *
   * Rejects with the store's error if the store cannot tell whether the key exists: `produce` runs only after a
   * definite miss. Aborting `signal` ends this caller's wait, not the work.
   */
  async getOrPut(
    key: string,
    produce: Produce,
    { accept = () => true, beforeLock, signal }: GetOrPutOptions = {},
  ): Promise<Uint8Array> {
    assertCacheKey(key)
    const inMemory = this.peek(key)
    if (inMemory && accept(inMemory)) return inMemory
    const running = this.#productions.get(key)
    if (running) return this.#join(running, accept, signal)
    const stored = await this.#readStore(key, accept, signal)
    if (stored?.isAccepted) return stored.data
    const start = () => this.#produce(key, produce, accept, beforeLock)
    const production = this.#productions.get(key) ?? this.#startProduction(key, start, stored?.data)
    return this.#join(production, accept, signal)
  }

  /**
   * Stops waiting for other machines, waits up to 15 s for values that are being produced, and retries each failed put
   * once more.
   * @throws {AggregateError} with the errors of the puts that failed again
   */
  async close(): Promise<void> {
    this.#closing.abort(new ClosedError('the LruCertCache was closed'))
    const running = [...this.#productions.values()].map(({ result }) => result)
    const error = () => new DeadlineError(`values were still being produced ${closeMs / 1_000} s after close`)
    const deadline = { ms: closeMs, clock: this.#clock, error }
    await withDeadline(() => Promise.allSettled(running), deadline).catch(warnUnhandled)
    await this.#pendingWrites?.close()
  }

  /** Reads the store, and keeps the value in memory if it is accepted. */
  #readStore(key: string, accept: (data: Uint8Array) => boolean, signal: AbortSignal | undefined) {
    return this.#reads.read(key, signal, (data) => {
      if (!data) return undefined
      const isAccepted = accept(data)
      if (isAccepted) this.#memory.set(key, data)
      return { data, isAccepted }
    })
  }

  #startProduction(
    key: string,
    start: () => Promise<Uint8Array>,
    refused: Uint8Array | undefined,
  ): Production {
    const result = start().finally(() => this.#productions.delete(key))
    result.catch(() => undefined) // callers handle the rejection, but all of them may have stopped waiting
    const production: Production = { result, refused }
    this.#productions.set(key, production)
    return production
  }

  /** Returns the stored value if this caller accepts it, unlike the first caller; else the result of the production. */
  #join(
    { result, refused }: Production,
    accept: (data: Uint8Array) => boolean,
    signal: AbortSignal | undefined,
  ): Promise<Uint8Array> {
    return refused && accept(refused) ? Promise.resolve(refused) : abortable(result, signal)
  }

  async #produce(
    key: string,
    produce: Produce,
    accept: (data: Uint8Array) => boolean,
    beforeLock: (() => Promise<unknown>) | undefined,
  ): Promise<Uint8Array> {
    await beforeLock?.()
    // Loaded on demand: most processes of a fleet never produce a value.
    const [{ runOncePerFleet }, { PendingWrites }] = await Promise.all([
      import('./once-per-fleet.js'),
      import('./pending-writes.js'),
    ])
    this.#pendingWrites ??= new PendingWrites(this.#store, this.#clock, this.#onPutFailed)
    const pendingWrites = this.#pendingWrites
    return runOncePerFleet({
      store: this.#store,
      name: key,
      clock: this.#clock,
      signal: this.#closing.signal,
      ...(beforeLock && { check: beforeLock }),
      find: async () => {
        // A read that started before the lock was acquired may have missed a peer's write.
        this.#reads.invalidate(key)
        const stored = await this.#readStore(key, accept, undefined)
        return stored?.isAccepted ? stored.data : undefined
      },
      work: async (lock) => {
        const data = await produce(lock)
        // From here on the value is safe in memory, even if the lock is lost or the put fails.
        this.#reads.invalidate(key)
        this.#memory.set(key, data)
        const onAdopted = (adopted: Uint8Array) => this.#memory.set(key, adopted)
        const outcome = await pendingWrites.put(key, data, { lock, accept, onAdopted })
        this.#reads.invalidate(key)
        return { value: data, keepsLock: outcome === 'pending' }
      },
    })
  }

  async #write(key: string, write: () => Promise<void>): Promise<void> {
    this.#pendingWrites?.supersede(key)
    this.#reads.invalidate(key)
    // What the store holds is unknown until it answers, and after a failure.
    this.#memory.delete(key)
    try {
      await write()
    } finally {
      this.#reads.invalidate(key)
      // Reads during the write may have put a value back.
      this.#memory.delete(key)
    }
  }
}
