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

export interface LruCertCacheOptions {
  /**
   * How many values are kept in memory: a whole number from 1 to 1,000,000, default 1,000. A certificate with its key takes
   * about 3 KiB here; under a `CertManager` its live `SecureContext` adds about 40 KiB, so 1,000 hosts in use
   * take some 50 MB, and up to 350 MB where many more hosts than that come and go.
   */
  max?: number
  /**
   * Called when the store did not take a value that `getOrPut` produced. The value is served from memory and
   * the put repeated after `retryInMs`. Default: a Node process warning.
   */
  onPutFailed?: (failure: { key: string; error: Error; retryInMs: number }) => void
  /** Time, for tests. Default: the system's. */
  clock?: Clock
}

export interface GetOrPutOptions extends CacheOperationOptions {
  /**
   * Whether a value from memory or the store will do. One that it refuses (expired, truncated, …) is a miss;
   * it stays in the store until the new one replaces it. Default: every value will do.
   */
  accept?: (data: Uint8Array) => boolean
  /**
   * Called on a miss before the fleet's lock is taken, and now and then while another machine has it; should it reject,
   * so does `getOrPut`. Default: nothing.
   */
  beforeLock?: () => Promise<unknown>
}

/**
 * Makes a value. The lock is the fleet's for the key, if the store has locks: read its `signal` anew before each
 * step that must not be done twice.
 */
export type Produce = (lock?: Pick<CertCacheLock, 'signal'>) => Promise<Uint8Array>

/** How long a close waits for values in production. */
const closeMs = 15_000

/** A store read that all callers who want the same key share. A write to the key makes it out of date. */
interface Read {
  readonly value: Promise<Uint8Array | undefined>
  outdated: boolean
}

/** A call of `produce` that all callers who want the same key share. */
interface Production {
  readonly result: Promise<Uint8Array>
  /** The stored value that would not do for the caller who started it. */
  readonly refused: Uint8Array | undefined
}

/**
 * The memory tier: any {@link CertCache} behind a bounded LRU, with one store read per key at a time however
 * many callers there are. Itself a `CertCache`.
 *
 * A value in memory is not compared with the store again; what another machine wrote in its place is seen when
 * `getOrPut`'s `accept` refuses the value in memory, or after it was evicted. Values are not copied: do not
 * change the bytes that went in or came out.
 */
export class LruCertCache implements CertCache {
  readonly #store: CertCache
  readonly #memory: LRUCache<string, Uint8Array>
  readonly #clock: Clock
  readonly #onPutFailed: PutFailedListener | undefined
  #unsaved: PendingWrites | undefined
  readonly #closing = sharedController()
  // Work in flight is not kept in the LRU (as its `fetch` would): an eviction there would abort it or let a
  // second caller start it again. These maps hold an entry only while its promise is pending.
  readonly #reads = new Map<string, Read>()
  readonly #productions = new Map<string, Production>()

  /** @throws {TypeError} naming the option that is wrong */
  constructor(store: CertCache, options: LruCertCacheOptions = {}) {
    assertCertCache(store, 'LruCertCache: store')
    const { max, onPutFailed, clock } = plainObject('LruCertCache: options', options)
    this.#store = store
    this.#memory = new LRUCache({ max: positiveInteger('LruCertCache: max', max ?? 1_000, maxMemoryEntries) })
    this.#clock = optional('LruCertCache: clock', clock, checkClock) ?? systemClock
    this.#onPutFailed = optional('LruCertCache: onPutFailed', onPutFailed, callback<PutFailedListener>)
  }

  /** The value in memory, without a look at the store. Counts as a use. */
  peek(key: string): Uint8Array | undefined {
    return this.#memory.get(key) ?? this.#unsaved?.get(key)
  }

  /** The values in memory, most recently used first. */
  values(): IterableIterator<Uint8Array> {
    return this.#memory.values()
  }

  async get(key: string, options?: CacheOperationOptions): Promise<Uint8Array | undefined> {
    assertCacheKey(key)
    return this.peek(key) ?? (await this.#fromStore(key, () => true, options?.signal))?.data
  }

  /**
   * Looks at the store past memory, and keeps what it has now if `accept` wants it in place of the value in
   * memory; that one stays otherwise, also if the store has none any more.
   */
  async refresh(
    key: string,
    { accept = () => true, signal }: Pick<GetOrPutOptions, 'accept' | 'signal'> = {},
  ): Promise<void> {
    assertCacheKey(key)
    if (!this.#unsaved?.get(key)) await this.#fromStore(key, accept, signal)
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
   * The value in memory, else in the store, else `produce()`: once for any number of concurrent callers, who
   * share its failure too, and, if the store has locks, once for all machines. What it produced is kept in memory
   * and put into the store; should the store not take it, it is served all the same, and the put repeated until
   * it succeeds: see `onPutFailed`. As long as it can, this machine keeps the lock meanwhile.
   *
   * Rejects with the store's error if the store could not tell: `produce` is called only on a certain miss.
   * Aborting `signal` ends this caller's wait, not the work.
   */
  async getOrPut(
    key: string,
    produce: Produce,
    { accept = () => true, beforeLock, signal }: GetOrPutOptions = {},
  ): Promise<Uint8Array> {
    assertCacheKey(key)
    const known = this.peek(key)
    if (known && accept(known)) return known
    const running = this.#productions.get(key)
    if (running) return this.#join(running, accept, signal)
    const stored = await this.#fromStore(key, accept, signal)
    if (stored?.accepted) return stored.data
    const make = () => this.#produce(key, produce, accept, beforeLock)
    const production = this.#productions.get(key) ?? this.#startProduction(key, make, stored?.data)
    return this.#join(production, accept, signal)
  }

  /**
   * Ends the wait for other machines, and tries once more to store what the store would not take so far.
   * @throws {AggregateError} of the puts that failed again
   */
  async close(): Promise<void> {
    this.#closing.abort(new ClosedError('the LruCertCache was closed'))
    const running = [...this.#productions.values()].map(({ result }) => result)
    const error = () => new DeadlineError(`values were still being produced ${closeMs / 1_000} s after close`)
    const bound = { ms: closeMs, clock: this.#clock, error }
    await withDeadline(() => Promise.allSettled(running), bound).catch(warnUnhandled)
    await this.#unsaved?.close()
  }

  /** What the store has now; kept in memory if it is accepted. */
  async #fromStore(key: string, accept: (data: Uint8Array) => boolean, signal: AbortSignal | undefined) {
    for (;;) {
      const read = this.#reads.get(key) ?? this.#startRead(key)
      const data = await abortable(read.value, signal)
      if (read.outdated) continue // by a write meanwhile: an old value or an old miss must not win over it
      if (!data) return undefined
      const accepted = accept(data)
      if (accepted) this.#memory.set(key, data)
      return { data, accepted }
    }
  }

  #startRead(key: string): Read {
    const value = Promise.resolve(this.#store.get(key)).finally(() => {
      if (this.#reads.get(key) === read) this.#reads.delete(key)
    })
    const read: Read = { value, outdated: false }
    this.#reads.set(key, read)
    return read
  }

  #startProduction(
    key: string,
    make: () => Promise<Uint8Array>,
    refused: Uint8Array | undefined,
  ): Production {
    const result = make().finally(() => this.#productions.delete(key))
    result.catch(() => undefined) // whoever waits for it handles it; nobody may be left to
    const production: Production = { result, refused }
    this.#productions.set(key, production)
    return production
  }

  /** The result of a production; or what it is to replace, for a caller who is content with that. */
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
    // Most processes of a fleet never come here.
    const [{ runOncePerFleet }, { PendingWrites }] = await Promise.all([
      import('./once-per-fleet.js'),
      import('./pending-writes.js'),
    ])
    this.#unsaved ??= new PendingWrites(this.#store, this.#clock, this.#onPutFailed)
    const unsaved = this.#unsaved
    return runOncePerFleet({
      store: this.#store,
      name: key,
      clock: this.#clock,
      signal: this.#closing.signal,
      ...(beforeLock && { check: beforeLock }),
      find: async () => {
        // A read that began before the lock was taken tells nothing.
        this.#outdateReads(key)
        const stored = await this.#fromStore(key, accept, undefined)
        return stored?.accepted ? stored.data : undefined
      },
      work: async (lock) => {
        const data = await produce(lock)
        // From here on it is not lost any more, whatever becomes of lock and store.
        this.#outdateReads(key)
        this.#memory.set(key, data)
        const onAdopted = (adopted: Uint8Array) => this.#memory.set(key, adopted)
        const outcome = await unsaved.put(key, data, { lock, accept, onAdopted })
        this.#outdateReads(key)
        return { value: data, keepsLock: outcome === 'kept' }
      },
    })
  }

  async #write(key: string, write: () => Promise<void>): Promise<void> {
    this.#unsaved?.supersede(key)
    this.#outdateReads(key)
    // Until the store has answered, and if it fails, nobody knows what it holds.
    this.#memory.delete(key)
    try {
      await write()
    } finally {
      this.#outdateReads(key)
      // What was read in the meantime.
      this.#memory.delete(key)
    }
  }

  #outdateReads(key: string): void {
    const read = this.#reads.get(key)
    if (!read) return
    read.outdated = true
    this.#reads.delete(key)
  }
}
