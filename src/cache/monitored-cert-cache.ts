import { isUint8Array } from 'node:util/types'
import type { Clock } from '../util/clock.js'
import { CertCacheError, StoreError, toError } from '../util/errors.js'
import {
  type CacheOperationOptions,
  type CertCache,
  type CertCacheLock,
  isLocking,
  type LockingCertCache,
} from './cert-cache.js'
import { CircuitBreaker } from './circuit-breaker.js'
import { createRunner, type RunOperation } from './store-operation.js'

/** The time-out of an operation, for stores without one of their own. The stores of this package time out earlier. */
const timeoutMs = 30_000

export type StoreOperation = 'get' | 'put' | 'delete' | 'lock' | 'unlock'

type FailureListener = (failure: { operation: StoreOperation; key: string; error: Error }) => void

/**
 * Wraps the user's store for a manager. Every operation has a time-out, fails fast while the store is down (see
 * {@link CircuitBreaker}), and reports its failure once to `onFailure`. The result has locks if the store has locks.
 */
export function monitorCertCache(store: CertCache, clock: Clock, onFailure: FailureListener): CertCache {
  return new MonitoredCertCache(store, clock, onFailure)
}

class MonitoredCertCache implements CertCache {
  /** The property does not exist if the store has no locks. */
  declare readonly tryLock?: LockingCertCache['tryLock']
  readonly #breaker: CircuitBreaker
  readonly #store: CertCache
  readonly #onFailure: FailureListener
  readonly #run: RunOperation
  #hasWarned = false

  constructor(store: CertCache, clock: Clock, onFailure: FailureListener) {
    this.#store = store
    this.#onFailure = onFailure
    this.#breaker = new CircuitBreaker(clock)
    this.#run = createRunner({
      timeoutMs,
      clock,
      timeoutMessage: (description) => `the store did not ${description} within ${timeoutMs / 1_000} s`,
      toStoreError,
    })
    if (isLocking(store)) this.tryLock = (name, options) => this.#tryLock(store, name, options)
  }

  get(key: string, options?: CacheOperationOptions): Promise<Uint8Array | undefined> {
    return this.#runGuarded('get', key, options, async (callOptions) => {
      // Many client libraries return null for a missing key.
      const data: unknown = (await this.#store.get(key, callOptions)) ?? undefined
      if (data === undefined || isUint8Array(data)) return data
      throw new TypeError(
        `get resolved with a value of type ${typeof data}, and not with a Uint8Array, or undefined for a miss`,
      )
    })
  }

  put(key: string, data: Uint8Array, options?: CacheOperationOptions): Promise<void> {
    return this.#runGuarded('put', key, options, (callOptions) => this.#store.put(key, data, callOptions))
  }

  delete(key: string, options?: CacheOperationOptions): Promise<void> {
    return this.#runGuarded('delete', key, options, (callOptions) => this.#store.delete(key, callOptions))
  }

  async #tryLock(
    store: LockingCertCache,
    name: string,
    options: CacheOperationOptions | undefined,
  ): Promise<CertCacheLock | undefined> {
    const lock = await this.#runGuarded('lock', name, options, async (callOptions) => {
      const acquired = await store.tryLock(name, callOptions)
      if (!callOptions.signal.aborted) return acquired
      // The caller has timed out or aborted.
      await acquired?.release()
      return undefined
    }).catch((thrown: unknown) => {
      if (thrown instanceof StoreError && thrown.code === 'ERR_STORE_PERMISSION') this.#warnOnce(thrown)
      throw thrown
    })
    if (!lock) return undefined
    const onLost = () => this.#onFailure({ operation: 'lock', key: name, error: toError(lock.signal.reason) })
    lock.signal.addEventListener('abort', onLost, { once: true })
    const release = () => {
      lock.signal.removeEventListener('abort', onLost)
      return this.#runOnce('unlock', name, undefined, () => lock.release())
    }
    return {
      get signal() {
        return lock.signal
      },
      release,
    }
  }

  /**
   * Warns about missing locks, which would otherwise go unnoticed: certificates are still ordered, once per machine.
   */
  #warnOnce({ message }: StoreError): void {
    if (this.#hasWarned) return
    this.#hasWarned = true
    process.emitWarning(`no locks, so each machine orders for itself: ${message}`, 'CertCacheWarning')
  }

  /** Runs `call` through the circuit breaker. */
  #runGuarded<T>(
    operation: StoreOperation,
    key: string,
    options: CacheOperationOptions | undefined,
    call: (options: { signal: AbortSignal }) => Promise<T>,
  ): Promise<T> {
    return this.#breaker.run({ operation, key }, () => this.#runOnce(operation, key, options, call))
  }

  /** Runs `call` with the time-out and reports its failure, bypassing the circuit breaker. */
  async #runOnce<T>(
    operation: StoreOperation,
    key: string,
    options: CacheOperationOptions | undefined,
    call: (options: { signal: AbortSignal }) => Promise<T>,
  ): Promise<T> {
    try {
      return await this.#run(`${operation} ${key}`, options?.signal, async (signal) => call({ signal }))
    } catch (error) {
      if (!options?.signal?.aborted) this.#onFailure({ operation, key, error: error as CertCacheError })
      throw error
    }
  }
}

/** Converts whatever a user's store throws. */
function toStoreError(thrown: unknown, description: string): CertCacheError {
  if (thrown instanceof CertCacheError) return thrown
  const { message, name, stack } = toError(thrown)
  // A copy: the original may refer to the request and its credentials.
  const cause = Object.assign(new Error(message), { name, stack })
  return new StoreError('ERR_STORE_FAILED', `the store could not ${description}: ${message}`, { cause })
}
