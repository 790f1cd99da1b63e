import { CacheKeyError } from '../util/errors.js'

/** Options of one store operation. */
export interface CacheOperationOptions {
  /** Aborting it rejects the operation with the signal's reason; what the store did by then is unknown. */
  signal?: AbortSignal | undefined
}

/**
 * Byte store shared by the fleet: Go's `autocert.Cache`, with promises.
 *
 * Keys are printable ASCII without `\ / : * ? " < > |`, not empty, not `.` or `..`; an implementation
 * refuses others with a {@link CacheKeyError} before it does anything. Keys that end in `+lock` are reserved: some stores
 * keep locks there, and a lock destroys what was put under its key. Values are opaque bytes, up to 1 MiB.
 */
export interface CertCache {
  /** Resolves with `undefined` when there is no such key; rejects when that could not be told. */
  get(key: string, options?: CacheOperationOptions): Promise<Uint8Array | undefined>
  /** Writes the whole value, or rejects; readers see the former value or this one, never a mixture. */
  put(key: string, data: Uint8Array, options?: CacheOperationOptions): Promise<void>
  /** Resolves when the key is absent too. */
  delete(key: string, options?: CacheOperationOptions): Promise<void>
}

/**
 * A {@link CertCache} that can also exclude the other machines: an optional capability, looked for at run time.
 */
export interface LockingCertCache extends CertCache {
  /**
   * Takes the lock of this name, a key of the store, for as long as the process lives and can prove it.
   * Resolves with `undefined` when somebody else holds it; rejects when that could not be told.
   *
   * A holder that dies loses the lock within a minute. The lock says nothing about what the former holder did:
   * read again what it was to protect.
   */
  tryLock(name: string, options?: CacheOperationOptions): Promise<CertCacheLock | undefined>
}

export interface CertCacheLock {
  /**
   * Aborts as soon as the lock is lost or can no longer be proved held. Read this property anew before each step
   * that must not be done twice: the process may have been stopped for longer than the lock lasts.
   */
  readonly signal: AbortSignal
  /** Gives the lock back. Harmless when it was lost; never takes it from another holder. */
  release(): Promise<void>
}

export const isLocking = (cache: CertCache): cache is LockingCertCache =>
  typeof (cache as Partial<LockingCertCache>).tryLock === 'function'

/** What a listing says of a key. */
export interface CertCacheEntry {
  /** The key. Also those of locks, `<name>+lock`, where the store keeps them so. */
  readonly name: string
  /** In bytes. */
  readonly size: number
  /** When it was last written. */
  readonly modified: Date
}

/** A {@link CertCache} that can say what is in it: an optional capability, for tools and not for handshakes. */
export interface ListableCertCache extends CertCache {
  /** In no particular order, page by page as it is read, so with constant memory; rejects as `get` does. */
  list(options?: CacheOperationOptions): AsyncIterable<CertCacheEntry>
}

export const isListable = (cache: CertCache): cache is ListableCertCache =>
  typeof (cache as Partial<ListableCertCache>).list === 'function'

/**
 * The largest value that the stores here return, in bytes: far above what is stored, and bounded, since one who can
 * write the store must not fill the memory of all who read it.
 */
export const maxValueBytes: number = 16 * 1024 * 1024

const keyAlphabet = /^[ !#-)+-.0-9;=@-[\]-{}~]+$/

export const isCacheKey = (key: string): boolean => keyAlphabet.test(key) && key !== '.' && key !== '..'

/**
 * Checks a cache key (or a prefix of one) against the alphabet that every store can represent.
 * @throws {CacheKeyError} naming the key and the rule
 */
export function assertCacheKey(key: string): void {
  if (typeof key === 'string' && isCacheKey(key)) return
  const shown = typeof key === 'string' ? JSON.stringify(key) : `of type ${typeof key}`
  throw new CacheKeyError(
    `illegal cache key ${shown}: use printable ASCII without \\ / : * ? " < > |, not empty, not . or ..`,
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
