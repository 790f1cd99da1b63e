import { isUint8Array } from 'node:util/types'
import type { Clock } from '../util/clock.js'
import { CertCacheError, StoreError, toError } from '../util/errors.js'
import { warn } from '../util/safe-call.js'
import { type CacheOperationOptions, type CertCache, isLocking, type LockingCertCache } from './cert-cache.js'
import { CircuitBreaker } from './circuit-breaker.js'
import { isPermissionError } from './service-errors.js'
import { createRunner } from './store-operation.js'

/** The time-out of an operation, for stores without one of their own. The stores of this package time out earlier. */
const timeoutMs = 30_000

/** A store operation, as the event `storeFailed` names it. */
export type StoreOperation = 'get' | 'put' | 'delete' | 'lock' | 'unlock'

type FailureListener = (failure: { operation: StoreOperation; key: string; error: Error }) => void

/** The user's store, wrapped for a manager. */
export interface MonitoredCertCache extends CertCache {
  /**
   * Reads even while the circuit breaker of reads is open, and closes it on success. For reads whose rate is limited
   * elsewhere.
   */
  readonly direct: Pick<CertCache, 'get'>
}

/**
 * Wraps the user's store for a manager. Every operation has a time-out, fails fast while the store fails such operations
 * (see {@link CircuitBreaker}), and reports its failure once to `onFailure`. The result has locks if the store has locks.
 */
export function monitorCertCache(
  store: CertCache,
  clock: Clock,
  onFailure: FailureListener,
): MonitoredCertCache {
  // A store that is full, or whose credentials only allow reads, still answers reads.
  const reads = new CircuitBreaker(clock)
  const writes = new CircuitBreaker(clock)
  const locks = new CircuitBreaker(clock)
  const runner = createRunner<never>({
    timeoutMs,
    clock,
    timeoutMessage: (description) => `${description} timed out after ${timeoutMs / 1_000} s`,
    toStoreError,
  })

  /** Runs `call` with the time-out and reports its failure. */
  async function run<T>(
    operation: StoreOperation,
    key: string,
    options: CacheOperationOptions | undefined,
    call: (options: { signal: AbortSignal }) => Promise<T>,
  ): Promise<T> {
    try {
      return await runner(`store operation "${operation}" for "${key}"`, options?.signal, async (signal) =>
        call({ signal }),
      )
    } catch (error) {
      if (!options?.signal?.aborted) onFailure({ operation, key, error: error as CertCacheError })
      throw error
    }
  }

  const read = async (key: string, callOptions: { signal: AbortSignal }) => {
    // Many client libraries return null for a missing key.
    const data: unknown = (await store.get(key, callOptions)) ?? undefined
    if (data === undefined || isUint8Array(data)) return data
    throw new TypeError(
      `get must resolve with a Uint8Array, or with undefined for a miss, not with a value of type ${typeof data}`,
    )
  }
  const get: CertCache['get'] = (key, options) =>
    run('get', key, options, (callOptions) => read(key, callOptions))
  const monitored: MonitoredCertCache = {
    direct: {
      async get(key, options) {
        const data = await get(key, options)
        reads.close()
        return data
      },
    },
    get: (key, options) => reads.run(key, () => get(key, options)),
    put: (key, data, options) =>
      writes.run(key, () => run('put', key, options, (callOptions) => store.put(key, data, callOptions))),
    delete: (key, options) =>
      writes.run(key, () => run('delete', key, options, (callOptions) => store.delete(key, callOptions))),
  }
  if (!isLocking(store)) return monitored

  let hasWarned = false
  const tryLock: LockingCertCache['tryLock'] = async (name, options) => {
    const acquire = async (callOptions: { signal: AbortSignal }) => {
      const acquired = await store.tryLock(name, callOptions)
      if (!callOptions.signal.aborted) return acquired
      // The caller has timed out or aborted.
      await acquired?.release()
      return undefined
    }
    // Not a failure for the circuit breaker: the store works without permission to lock.
    const lock = await locks.run(name, () => run('lock', name, options, acquire).catch(returnPermissionError))
    if (lock instanceof StoreError) {
      // Missing locks would go unnoticed: certificates are still ordered, once per machine.
      const text = `locks are not permitted, so each machine orders its own certificates: ${lock.message}`
      if (!hasWarned) warn(text, lock)
      hasWarned = true
      throw lock
    }
    if (!lock) return undefined
    const onLost = () => onFailure({ operation: 'lock', key: name, error: toError(lock.signal.reason) })
    lock.signal.addEventListener('abort', onLost, { once: true })
    return {
      get signal() {
        return lock.signal
      },
      release() {
        lock.signal.removeEventListener('abort', onLost)
        return run('unlock', name, undefined, () => lock.release())
      },
    }
  }
  return Object.assign(monitored, { tryLock })
}

function returnPermissionError(thrown: unknown): StoreError {
  if (isPermissionError(thrown)) return thrown
  throw thrown
}

/** Converts whatever a user's store throws. */
function toStoreError(thrown: unknown, description: string): CertCacheError {
  if (thrown instanceof CertCacheError) return thrown
  const { message, name, stack } = toError(thrown)
  // A copy: the original may refer to the request and its credentials.
  const cause = Object.assign(new Error(message), { name, stack })
  return new StoreError('ERR_STORE_FAILED', `${description} failed: ${message}`, { cause })
}
