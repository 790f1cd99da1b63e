import {
  assertCacheKey,
  type CacheOperationOptions,
  type CertCacheEntry,
  type CertCacheLock,
  type ListableCertCache,
  type LockingCertCache,
} from '../cache/cert-cache.js'
import { LockLostError, StoreError } from '../util/errors.js'

/** The state that all peers share. */
interface SharedState {
  readonly values: Map<string, { data: Uint8Array; modified: Date }>
  readonly locks: Map<string, AbortController>
}

/**
 * A store in memory for tests, which fulfils the whole contract (`certCacheContract`) without a service. Its
 * values and locks last as long as the object and its peers.
 */
export class MemoryCertCache implements LockingCertCache, ListableCertCache {
  #state: SharedState = { values: new Map(), locks: new Map() }
  readonly #ownLocks = new Map<AbortController, string>()
  #isCutOff = false

  /** Returns another handle on the same values and locks, as on another machine. */
  peer(): MemoryCertCache {
    const peer = new MemoryCertCache()
    peer.#state = this.#state
    return peer
  }

  /** Simulates a lost network: from now on every operation of this handle rejects, and the locks it holds are lost. */
  cutOff(): void {
    this.#isCutOff = true
    for (const [controller, name] of this.#ownLocks) {
      this.#removeLock(name, controller)
      controller.abort(new LockLostError(`lost the lock "${name}": cutOff() was called on this store`))
    }
  }

  /** Ends {@link cutOff}. The lost locks stay lost. */
  mend(): void {
    this.#isCutOff = false
  }

  async get(key: string, options?: CacheOperationOptions): Promise<Uint8Array | undefined> {
    await this.#enter(key, options)
    return this.#state.values.get(key)?.data.slice()
  }

  async put(key: string, data: Uint8Array, options?: CacheOperationOptions): Promise<void> {
    // Not slice(): on a Buffer it returns a view.
    const copy = Uint8Array.from(data)
    await this.#enter(key, options)
    this.#state.values.set(key, { data: copy, modified: new Date() })
  }

  async delete(key: string, options?: CacheOperationOptions): Promise<void> {
    await this.#enter(key, options)
    this.#state.values.delete(key)
  }

  async *list(options?: CacheOperationOptions): AsyncGenerator<CertCacheEntry, void, undefined> {
    await this.#reach(options)
    for (const [name, { data, modified }] of this.#state.values) {
      await this.#reach(options)
      yield { name, size: data.byteLength, modified }
    }
  }

  async tryLock(name: string, options?: CacheOperationOptions): Promise<CertCacheLock | undefined> {
    await this.#enter(name, options)
    if (this.#state.locks.has(name)) return undefined
    const controller = new AbortController()
    this.#state.locks.set(name, controller)
    this.#ownLocks.set(controller, name)
    return { signal: controller.signal, release: async () => this.#removeLock(name, controller) }
  }

  #removeLock(name: string, controller: AbortController): void {
    this.#ownLocks.delete(controller)
    if (this.#state.locks.get(name) === controller) this.#state.locks.delete(name)
  }

  async #enter(key: string, options: CacheOperationOptions | undefined): Promise<void> {
    assertCacheKey(key)
    await this.#reach(options)
  }

  async #reach(options: CacheOperationOptions | undefined): Promise<void> {
    options?.signal?.throwIfAborted()
    // A real store never responds in the same turn of the event loop.
    await new Promise(setImmediate)
    options?.signal?.throwIfAborted()
    if (this.#isCutOff) {
      const message =
        'cannot reach the values in memory: cutOff() was called on this store. Call mend() to end this.'
      throw new StoreError('ERR_STORE_UNREACHABLE', message)
    }
  }
}
