import {
  assertCacheKey,
  type CacheOperationOptions,
  type CertCacheEntry,
  type CertCacheLock,
  type ListableCertCache,
  type LockingCertCache,
} from '../cache/cert-cache.js'
import { LockLostError, StoreError } from '../util/errors.js'

interface Place {
  readonly values: Map<string, { data: Uint8Array; modified: Date }>
  readonly locks: Map<string, AbortController>
}

/**
 * A store in memory that keeps every promise of the contract, for tests: of servers that use this package, without a
 * service, and of the contract itself. What is in it goes with it.
 */
export class MemoryCertCache implements LockingCertCache, ListableCertCache {
  #place: Place = { values: new Map(), locks: new Map() }
  readonly #own = new Map<AbortController, string>()
  #cutOff = false

  /** Another handle on the same values and locks, as another machine has one. */
  peer(): MemoryCertCache {
    const peer = new MemoryCertCache()
    peer.#place = this.#place
    return peer
  }

  /** As if the network were gone: from now on each operation of this handle rejects, and its locks are lost. */
  cutOff(): void {
    this.#cutOff = true
    for (const [lost, name] of this.#own) {
      this.#free(name, lost)
      lost.abort(new LockLostError(`the lock of ${name} is lost: the store was cut off`))
    }
  }

  /** Ends {@link cutOff}; locks that were lost by it stay lost. */
  mend(): void {
    this.#cutOff = false
  }

  async get(key: string, options?: CacheOperationOptions): Promise<Uint8Array | undefined> {
    await this.#enter(key, options)
    return this.#place.values.get(key)?.data.slice()
  }

  async put(key: string, data: Uint8Array, options?: CacheOperationOptions): Promise<void> {
    // Not slice(): a Buffer's is a view.
    const copy = Uint8Array.from(data)
    await this.#enter(key, options)
    this.#place.values.set(key, { data: copy, modified: new Date() })
  }

  async delete(key: string, options?: CacheOperationOptions): Promise<void> {
    await this.#enter(key, options)
    this.#place.values.delete(key)
  }

  async *list(options?: CacheOperationOptions): AsyncGenerator<CertCacheEntry, void, undefined> {
    await this.#reach(options)
    for (const [name, { data, modified }] of this.#place.values) {
      await this.#reach(options)
      yield { name, size: data.byteLength, modified }
    }
  }

  async tryLock(name: string, options?: CacheOperationOptions): Promise<CertCacheLock | undefined> {
    await this.#enter(name, options)
    if (this.#place.locks.has(name)) return undefined
    const lost = new AbortController()
    this.#place.locks.set(name, lost)
    this.#own.set(lost, name)
    return { signal: lost.signal, release: async () => this.#free(name, lost) }
  }

  #free(name: string, lock: AbortController): void {
    this.#own.delete(lock)
    if (this.#place.locks.get(name) === lock) this.#place.locks.delete(name)
  }

  async #enter(key: string, options: CacheOperationOptions | undefined): Promise<void> {
    assertCacheKey(key)
    await this.#reach(options)
  }

  async #reach(options: CacheOperationOptions | undefined): Promise<void> {
    options?.signal?.throwIfAborted()
    // A turn, as every real store takes one.
    await new Promise(setImmediate)
    options?.signal?.throwIfAborted()
    if (this.#cutOff) throw new StoreError('ERR_STORE_UNREACHABLE', 'the store in memory was cut off')
  }
}
