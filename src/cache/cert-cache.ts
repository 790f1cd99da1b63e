import { CacheKeyError } from '../util/errors.js'
import { invalidOption } from '../util/validate.js'

/** Options of one store operation. */
export interface CacheOperationOptions {
  /**
   * Rejects the operation with the signal's reason when it aborts. Whether the store has carried out the operation is
   * then unknown.
   */
  signal?: AbortSignal | undefined
}

/**
 * A byte store shared by the fleet: Go's `autocert.Cache`, with promises.
 *
 * Keys are printable ASCII without `\ / : * ? " < > |`, not empty, not `.` or `..`. An implementation rejects any other
 * key with a {@link CacheKeyError} before it makes a request. Keys that end in `+lock` are reserved: some stores
 * keep their locks under these keys, and a lock overwrites a value stored there.
 *
 * Values are opaque bytes, up to 1 MiB.
 */
export interface CertCache {
  /** Returns the value, or `undefined` if the key does not exist. Rejects if the operation fails. */
  get(key: string, options?: CacheOperationOptions): Promise<Uint8Array | undefined>
  /** Writes the whole value atomically: a concurrent reader gets the old value or the new one, never a mixture. */
  put(key: string, data: Uint8Array, options?: CacheOperationOptions): Promise<void>
  /** Deletes the value. Also resolves if the key does not exist. */
  delete(key: string, options?: CacheOperationOptions): Promise<void>
}

/**
 * A {@link CertCache} with locks that exclude other machines. Locking is an optional capability, detected at run time
 * by the presence of `tryLock`.
 */
export interface LockingCertCache extends CertCache {
  /**
   * Acquires the lock with this name; names have the alphabet of keys. Returns `undefined` if another holder has the
   * lock. Rejects if the operation fails.
   *
   * The lock is held until it is released, as long as the process is alive and can renew it. If the holder dies, the
   * lock expires within one minute.
   *
   * The lock does not guarantee that a former holder completed its work. After acquiring it, read the protected data
   * again.
   */
  tryLock(name: string, options?: CacheOperationOptions): Promise<CertCacheLock | undefined>
}

/** A lock that this process holds. */
export interface CertCacheLock {
  /**
   * Aborts when the lock is lost, or when the process can no longer be sure that it holds the lock. Read this property
   * again before each step that must not happen twice: the process may have been suspended for longer than the lock
   * lasts.
   */
  readonly signal: AbortSignal
  /** Releases the lock. If the lock was lost, does nothing: a lock that another holder has acquired is not released. */
  release(): Promise<void>
}

export const isLocking = (cache: CertCache): cache is LockingCertCache =>
  typeof (cache as Partial<LockingCertCache>).tryLock === 'function'

/** One entry of a listing. */
export interface CertCacheEntry {
  /** The key. Includes the locks, `<name>+lock`, where the store keeps them under such keys. */
  readonly name: string
  /** The size of the value in bytes. */
  readonly size: number
  /** The time of the last write. */
  readonly modified: Date
}

/**
 * A {@link CertCache} that can list its entries. Listing is an optional capability, for tools; handshakes do not need
 * it.
 */
export interface ListableCertCache extends CertCache {
  /**
   * Iterates over all entries, in no particular order. Pages are requested as they are consumed, so memory use is
   * constant. Rejects as `get` does.
   */
  list(options?: CacheOperationOptions): AsyncIterable<CertCacheEntry>
}

export const isListable = (cache: CertCache): cache is ListableCertCache =>
  typeof (cache as Partial<ListableCertCache>).list === 'function'

/**
 * The largest value that the stores of this package return: 16 MiB, far above the size of any certificate chain.
 * Without a bound, anyone with write access to the store could exhaust the memory of every reader.
 */
export const maxValueBytes: number = 16 * 1024 * 1024

/** The key under which a store keeps the lock with this name, if it keeps locks among its entries. */
export const lockKey = (name: string): string => `${name}+lock`

export const isCacheKey = (key: string): boolean =>
  /^[ !#-)+-.0-9;=@-[\]-{}~]+$/.test(key) && key !== '.' && key !== '..'

/**
 * Checks that a cache key, or a prefix of one, is in the alphabet that every store supports.
 * @throws {CacheKeyError} naming the key and the rule
 */
export function assertCacheKey(key: string): void {
  if (typeof key === 'string' && isCacheKey(key)) return
  const shown = typeof key === 'string' ? JSON.stringify(key) : `of type ${typeof key}`
  throw new CacheKeyError(
    `invalid cache key ${shown}: use printable ASCII without \\ / : * ? " < > |, not empty, and not "." or ".."`,
  )
}

/**
 * Checks that `cache` has the three methods of a {@link CertCache}.
 * @throws {TypeError} naming the option
 */
export function assertCertCache(cache: unknown, name: string): asserts cache is CertCache {
  const methods = ['get', 'put', 'delete'] as const
  if (methods.every((method) => typeof Object(cache)[method] === 'function')) return
  throw invalidOption(name, 'a CertCache with the methods get, put and delete', cache)
}
