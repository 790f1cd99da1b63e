import { isUint8Array } from 'node:util/types'
import type { Clock } from '../util/clock.js'
import { withDeadline } from '../util/deadline.js'
import { CertCacheError, StoreError, toError } from '../util/errors.js'
import {
  type CacheOperationOptions,
  type CertCache,
  type CertCacheLock,
  isLocking,
  type LockingCertCache,
} from './cert-cache.js'
import { CircuitBreaker } from './circuit-breaker.js'

/** The bound for stores that keep none of their own; ours end long before. */
const operationMs = 30_000

export type StoreOperation = 'get' | 'put' | 'delete' | 'lock' | 'unlock'

type FailureListener = (failure: { operation: StoreOperation; key: string; error: Error }) => void

/** A manager's view of the user's store: every operation ends, at once while it is down; every failure is reported once. */
export function monitorCertCache(store: CertCache, clock: Clock, onFailure: FailureListener): CertCache {
  return isLocking(store)
    ? new MonitoredLockingCertCache(store, clock, onFailure)
    : new MonitoredCertCache(store, clock, onFailure)
}

class MonitoredCertCache<S extends CertCache> implements CertCache {
  readonly #breaker: CircuitBreaker

  protected readonly store: S
  private readonly clock: Clock
  protected readonly onFailure: FailureListener

  constructor(store: S, clock: Clock, onFailure: FailureListener) {
    this.store = store
    this.clock = clock
    this.onFailure = onFailure
    this.#breaker = new CircuitBreaker(clock)
  }

  get(key: string, options?: CacheOperationOptions): Promise<Uint8Array | undefined> {
    return this.run('get', key, options, async (bounded) => {
      // What many clients have for a miss is null.
      const data: unknown = (await this.store.get(key, bounded)) ?? undefined
      if (data === undefined || isUint8Array(data)) return data
      throw new TypeError(
        `get resolved with a value of type ${typeof data}, and not with a Uint8Array, or undefined for a miss`,
      )
    })
  }

  put(key: string, data: Uint8Array, options?: CacheOperationOptions): Promise<void> {
    return this.run('put', key, options, (bounded) => this.store.put(key, data, bounded))
  }

  delete(key: string, options?: CacheOperationOptions): Promise<void> {
    return this.run('delete', key, options, (bounded) => this.store.delete(key, bounded))
  }

  protected run<T>(
    operation: StoreOperation,
    key: string,
    options: CacheOperationOptions | undefined,
    call: (options: { signal: AbortSignal }) => Promise<T>,
  ): Promise<T> {
    return this.#breaker.run({ operation, key }, () => this.bounded(operation, key, options, call))
  }

  /** Past the breaker. */
  protected async bounded<T>(
    operation: StoreOperation,
    key: string,
    options: CacheOperationOptions | undefined,
    call: (options: { signal: AbortSignal }) => Promise<T>,
  ): Promise<T> {
    const timeout = () =>
      new StoreError(
        'ERR_STORE_TIMEOUT',
        `the store did not ${operation} ${key} within ${operationMs / 1_000} s`,
      )
    try {
      return await withDeadline(async (signal) => call({ signal }), {
        ms: operationMs,
        clock: this.clock,
        error: timeout,
        signal: options?.signal,
      })
    } catch (thrown) {
      if (options?.signal?.aborted) throw thrown
      const error = asStoreError(thrown, operation, key)
      this.onFailure({ operation, key, error })
      throw error
    }
  }
}

class MonitoredLockingCertCache extends MonitoredCertCache<LockingCertCache> implements LockingCertCache {
  #warned = false

  async tryLock(name: string, options?: CacheOperationOptions): Promise<CertCacheLock | undefined> {
    const lock = await this.#lock(name, options)
    if (!lock) return undefined
    const lost = () => this.onFailure({ operation: 'lock', key: name, error: toError(lock.signal.reason) })
    lock.signal.addEventListener('abort', lost, { once: true })
    const release = () => {
      lock.signal.removeEventListener('abort', lost)
      return this.bounded('unlock', name, undefined, () => lock.release())
    }
    return {
      get signal() {
        return lock.signal
      },
      release,
    }
  }

  async #lock(name: string, options: CacheOperationOptions | undefined): Promise<CertCacheLock | undefined> {
    try {
      return await this.run('lock', name, options, async (bounded) => {
        const granted = await this.store.tryLock(name, bounded)
        if (!bounded.signal.aborted) return granted
        // Nobody waits for it any more.
        await granted?.release()
        return undefined
      })
    } catch (thrown) {
      if (thrown instanceof StoreError && thrown.code === 'ERR_STORE_PERMISSION') this.#warn(thrown)
      throw thrown
    }
  }

  /** Without locks everything works, so that nobody would notice. */
  #warn({ message }: StoreError): void {
    if (this.#warned) return
    this.#warned = true
    process.emitWarning(`no locks, so each machine orders for itself: ${message}`, 'CertCacheWarning')
  }
}

/** Stores of other people throw what they like. */
function asStoreError(thrown: unknown, operation: StoreOperation, key: string): CertCacheError {
  if (thrown instanceof CertCacheError) return thrown
  const { message, name, stack } = toError(thrown)
  // A copy: the original may hold a request with its credentials.
  const cause = Object.assign(new Error(message), { name, stack })
  return new StoreError('ERR_STORE_FAILED', `the store could not ${operation} ${key}: ${message}`, { cause })
}
