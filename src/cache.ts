import { CacheKeyError } from './errors.js'

/** Options of one store operation. */
export interface CacheOperationOptions {
  /** Aborting it rejects the operation with the signal's reason; what the store did by then is unknown. */
  signal?: AbortSignal | undefined
}

/**
 * Byte store shared by the fleet: Go's `autocert.Cache`, with promises.
 *
 * Keys are printable ASCII without `\ / : * ? " < > |`, not empty, not `.` or `..`; an implementation
 * refuses others with a {@link CacheKeyError} before it does anything. Values are opaque bytes.
 */
export interface CertCache {
  /** Resolves with `undefined` when there is no such key; rejects when that could not be told. */
  get(key: string, options?: CacheOperationOptions): Promise<Uint8Array | undefined>
  /** Writes the whole value, or rejects; readers see the former value or this one, never a mixture. */
  put(key: string, data: Uint8Array, options?: CacheOperationOptions): Promise<void>
  /** Resolves when the key is absent too. */
  delete(key: string, options?: CacheOperationOptions): Promise<void>
}

const keyAlphabet = /^[ !#-)+-.0-9;=@-[\]-{}~]+$/

/**
 * Checks a cache key (or a prefix of one) against the alphabet that every store can represent.
 * @throws {CacheKeyError} naming the key and the rule
 */
export function assertCacheKey(key: string): void {
  if (typeof key === 'string' && keyAlphabet.test(key) && key !== '.' && key !== '..') return
  throw new CacheKeyError(
    `illegal cache key ${JSON.stringify(key)}: use printable ASCII without \\ / : * ? " < > |, not empty, not . or ..`,
  )
}

/** Throws a TypeError unless `cache` has the three methods of a {@link CertCache}. */
export function assertCertCache(cache: unknown, name: string): asserts cache is CertCache {
  const candidate = cache as Partial<CertCache> | null | undefined
  const methods = [candidate?.get, candidate?.put, candidate?.delete]
  if (methods.some((method) => typeof method !== 'function')) {
    throw new TypeError(`${name} must be a CertCache: an object with get, put and delete`)
  }
}
