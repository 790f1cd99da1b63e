import { LRUCache } from 'lru-cache'
import { type Clock, monotonic } from '../util/clock.js'
import { abortable, settleAll, sharedController } from '../util/deadline.js'
import { ignoreFailure } from '../util/safe-call.js'
import type { CacheOperationOptions, CertCache, CertCacheLock } from './cert-cache.js'
import { runOncePerFleet } from './once-per-fleet.js'
import { PendingWrites, type PutFailedListener, type StoredWrite } from './pending-writes.js'
import { SharedReads } from './shared-reads.js'

/** How the values in memory relate to the bytes in the store. */
interface MemoryTierOptions<Id, T> {
  readonly store: CertCache
  /** Returns the cache key of a value. */
  readonly keyOf: (id: Id) => string
  /** Maximum number of values in memory. */
  readonly max: number
  readonly clock: Clock
  /** Called when the store rejects a value that was produced. Default: emits a process warning. */
  readonly onPutFailed?: PutFailedListener | undefined
  /**
   * Called when the store has refused three times to replace a value, as with a foreign lease, or has failed to for a
   * minute. The fleet's lock is released afterwards, and the put is retried. Never rejects.
   */
  readonly onPutRefused?: (value: T, error: Error) => Promise<void>
  /**
   * Decodes bytes read from the store, once per read; `undefined` if they cannot be used: a miss. Returns `inMemory` if
   * the bytes are the same.
   */
  readonly decode: (id: Id, data: Uint8Array, inMemory: T | undefined) => T | undefined
  readonly encode: (value: T) => Uint8Array
  /** Called after a value has entered memory in place of `former`, or of none. */
  readonly onChanged?: (value: T, former: T | undefined) => void
}

/** Produces a value under the fleet's lock for its key, if the store has locks. */
type Produce<T> = (lock?: Pick<CertCacheLock, 'signal'>) => Promise<T>

interface GetOrPutOptions<T> {
  /** Returns whether a value is usable; called for values in memory and in the store. Has no side effects. */
  readonly accept: (value: T) => boolean
  /** Called once on a miss, before the lock is requested. */
  readonly beforeLock?: (() => Promise<unknown>) | undefined
  /** Called repeatedly while another machine holds the lock. If it rejects, the wait ends. */
  readonly whileWaiting?: (() => Promise<unknown>) | undefined
  /** Called after a produced value has entered memory, before it is put into the store. */
  readonly onProduced?: (value: T) => void
  /**
   * Called once the store has taken a produced value, before its lock is released. Never rejects.
   * @param stored.wasRefused whether `onPutRefused` was called for the value
   */
  readonly afterPut?: (value: T, stored: StoredWrite) => Promise<void>
  readonly signal?: AbortSignal | undefined
}

/** A call of `produce` that all callers with the same key share. */
interface Production<T> {
  readonly result: Promise<T>
  /** The stored value that the first caller did not accept, unless the key has been written since. */
  refused: T | undefined
}

/**
 * A bounded memory in front of a store, for values that are decoded from the stored bytes. Its methods correspond to
 * those of `LruCertCache`, whose values are the bytes themselves.
 */
export class MemoryTier<Id, T extends object> {
  readonly #options: MemoryTierOptions<Id, T>
  readonly #memory: LRUCache<string, T>
  #pendingWrites: PendingWrites<T> | undefined
  readonly #closing = sharedController()
  // Pending work is not in the LRU, as it would be with LRUCache's `fetch`: an eviction would abort it, or let a second
  // caller start it again. Reads and productions are kept only while they are pending.
  readonly #reads = new SharedReads<T | undefined>()
  readonly #productions = new Map<string, Production<T>>()

  constructor(options: MemoryTierOptions<Id, T>) {
    this.#options = options
    this.#memory = new LRUCache({ max: options.max })
  }

  peek(id: Id): T | undefined {
    const key = this.#options.keyOf(id)
    return this.#memory.get(key) ?? this.#pendingWrites?.get(key)
  }

  values(): IterableIterator<T> {
    return this.#memory.values()
  }

  async get(id: Id, signal?: AbortSignal): Promise<T | undefined> {
    return this.peek(id) ?? (await this.#readStore(id, acceptAll, signal))?.value
  }

  /** Reads the store even if the value is in memory. Replaces it with the stored one if `accept` returns true. */
  async refresh(id: Id, accept: (value: T) => boolean, signal?: AbortSignal): Promise<void> {
    if (!this.#pendingWrites?.get(this.#options.keyOf(id))) await this.#readStore(id, accept, signal)
  }

  async put(id: Id, value: T, options?: CacheOperationOptions): Promise<void> {
    const { store, keyOf, encode } = this.#options
    const key = keyOf(id)
    await this.#write(key, () => store.put(key, encode(value), options))
    this.#keep(key, value)
  }

  async delete(id: Id, options?: CacheOperationOptions): Promise<void> {
    const key = this.#options.keyOf(id)
    await this.#write(key, () => this.#options.store.delete(key, options))
  }

  async getOrPut(id: Id, produce: Produce<T>, options: GetOrPutOptions<T>): Promise<T> {
    const { accept, signal } = options
    const inMemory = this.peek(id)
    if (inMemory && accept(inMemory)) return inMemory
    const key = this.#options.keyOf(id)
    const running = this.#productions.get(key)
    if (running) return this.#join(key, running, options)
    const stored = await this.#readStore(id, accept, signal)
    if (stored?.isAccepted) return stored.value
    const start = () => this.#produce(id, produce, options)
    const production = this.#productions.get(key) ?? this.#startProduction(key, start, stored?.value)
    return this.#join(key, production, options)
  }

  /**
   * @param withinMs how long to wait for values in production and for pending puts, in ms
   * @param reason the error of callers that wait for another machine
   */
  async close(withinMs: number, reason: Error): Promise<void> {
    this.#closing.abort(reason)
    const running = [...this.#productions.values()].map(({ result }) => result)
    const { clock } = this.#options
    const now = monotonic(clock)
    const giveUpAt = now() + withinMs
    await settleAll(running, { ms: withinMs, clock, text: 'values were still being produced' })
    await this.#pendingWrites?.close(Math.max(giveUpAt - now(), 0))
  }

  /** Reads the store, and keeps the value in memory if it is accepted. */
  #readStore(id: Id, accept: (value: T) => boolean, signal: AbortSignal | undefined) {
    const { store, keyOf, decode } = this.#options
    const key = keyOf(id)
    const load = async () => {
      const data = await store.get(key)
      return data ? decode(id, data, this.#inMemory(key)) : undefined
    }
    return this.#reads.read(key, load, signal, (stored) => {
      // A newer value is about to be written to the store.
      const pending = this.#pendingWrites?.get(key)
      const value = pending && accept(pending) ? pending : stored
      if (!value) return undefined
      const isAccepted = accept(value)
      if (isAccepted) this.#keep(key, value)
      return { value, isAccepted }
    })
  }

  /** The only place where a value enters memory. */
  #keep(key: string, value: T): void {
    const former = this.#inMemory(key)
    const production = this.#productions.get(key)
    if (production && production.refused !== value) production.refused = undefined
    this.#memory.set(key, value)
    if (value !== former) this.#options.onChanged?.(value, former)
  }

  /** As `peek`, without a change of the order of use. */
  #inMemory(key: string): T | undefined {
    return this.#memory.peek(key) ?? this.#pendingWrites?.get(key)
  }

  #startProduction(key: string, start: () => Promise<T>, refused: T | undefined): Production<T> {
    const result = start().finally(() => this.#productions.delete(key))
    void ignoreFailure(result, 'callers handle the rejection, but all of them may have stopped waiting')
    const production: Production<T> = { result, refused }
    this.#productions.set(key, production)
    return production
  }

  /** Returns the stored value if this caller accepts it, unlike the first caller; else the result of the production. */
  #join(key: string, { result, refused }: Production<T>, options: GetOrPutOptions<T>): Promise<T> {
    if (!refused || !options.accept(refused)) return abortable(result, options.signal)
    this.#keep(key, refused)
    return Promise.resolve(refused)
  }

  async #produce(
    id: Id,
    produce: Produce<T>,
    { accept, beforeLock, whileWaiting, onProduced, afterPut }: GetOrPutOptions<T>,
  ): Promise<T> {
    await beforeLock?.()
    const { store, keyOf, clock, onPutFailed, onPutRefused, decode, encode } = this.#options
    const key = keyOf(id)
    this.#pendingWrites ??= new PendingWrites(store, clock, onPutFailed)
    const pendingWrites = this.#pendingWrites
    return runOncePerFleet({
      store,
      name: key,
      clock,
      signal: this.#closing.signal,
      ...(whileWaiting && { check: whileWaiting }),
      find: async () => {
        // A read that started before the lock was acquired may have missed a peer's write.
        this.#reads.invalidate(key)
        const stored = await this.#readStore(id, accept, undefined)
        return stored?.isAccepted ? stored.value : undefined
      },
      work: async (lock) => {
        const value = await produce(lock)
        // From here on the value is safe in memory, even if the lock is lost or the put fails.
        this.#reads.invalidate(key)
        this.#keep(key, value)
        onProduced?.(value)
        const outcome = await pendingWrites.put(key, value, {
          data: encode(value),
          lock,
          usable: (data) => {
            const stored = decode(id, data, this.#inMemory(key))
            return stored && accept(stored) ? stored : undefined
          },
          onStored: (stored) => {
            this.#reads.invalidate(key)
            return afterPut?.(value, stored)
          },
          onRefused: onPutRefused && ((error) => onPutRefused(value, error)),
          onAdopted: (adopted) => this.#keep(key, adopted),
        })
        return { value, keepsLock: outcome === 'pending' }
      },
    })
  }

  async #write(key: string, write: () => Promise<void>): Promise<void> {
    this.#pendingWrites?.supersede(key)
    const forget = () => {
      this.#reads.invalidate(key)
      // Until the write succeeds, and after it fails, the stored value is unknown.
      this.#memory.delete(key)
      const production = this.#productions.get(key)
      if (production) production.refused = undefined
    }
    forget()
    try {
      await write()
    } finally {
      // Reads during the write may have put a value back.
      forget()
    }
  }
}

const acceptAll = () => true
