import { createSecretKey, KeyObject } from 'node:crypto'
import { boolean, plainObject } from '../../util/validate.js'
import {
  assertCacheKey,
  assertCertCache,
  type CacheOperationOptions,
  type CertCache,
  isListable,
  isLocking,
  type ListableCertCache,
  type LockingCertCache,
} from '../cert-cache.js'
import { isPlaintext, open, seal } from './envelope.js'

/** An AES-256 key. */
export interface EncryptionKey {
  /**
   * Identifies the key: 1 to 32 characters of printable ASCII, unique among the keys. The id is stored unencrypted with
   * each value, to select the key for decryption. Never reuse an id for another key.
   */
  readonly id: string
  /** 32 random bytes, or a secret `KeyObject` of 32 bytes. Bytes are copied: you may overwrite yours afterwards. */
  readonly key: Uint8Array | KeyObject
}

/** The keys of a fleet: the same on all machines, except during a key rotation. */
export interface EncryptionKeys {
  /** Encrypts new values. Rotate it before it has encrypted 2^32 values (NIST SP 800-38D section 8.3). */
  readonly current: EncryptionKey
  /** Further keys for decryption only. Default: none. */
  readonly previous?: readonly EncryptionKey[]
}

/** Options of `EncryptedCertCache`. */
export interface EncryptedCertCacheOptions {
  readonly keys: EncryptionKeys
  /**
   * Whether `get` returns values that are not encrypted. Set this to `true` only during a migration: until you remove
   * it, anyone with write access to the store can plant unencrypted values. Default: `false`; such values are an error.
   */
  readonly readPlaintext?: boolean
}

/**
 * Encrypts the values of any {@link CertCache} with AES-256-GCM (`node:crypto`), and binds each value to its cache key.
 *
 * Values are confidential. Cache keys, which contain the host names, and the sizes and times of values are not. Anyone
 * with write access to the store can delete a value, or restore an older value of the same cache key. Go's `autocert`
 * cannot read the store.
 *
 * A value that cannot be decrypted (unknown or wrong key, tampered with, truncated, not encrypted) is a `StoreError`
 * with the code `ERR_STORE_DECRYPT`, never a miss.
 */
export class EncryptedCertCache implements CertCache {
  /** The store's `tryLock`. Does not exist if the store has no locks. */
  declare readonly tryLock?: LockingCertCache['tryLock']
  /** The store's `list`, with the sizes of the encrypted values. Does not exist if the store has no `list`. */
  declare readonly list?: ListableCertCache['list']
  readonly #store: CertCache
  /** The keys by id, the current key first. */
  readonly #keys: ReadonlyMap<string, KeyObject>
  readonly #readPlaintext: boolean

  /** @throws {TypeError} naming the invalid option */
  constructor(store: CertCache, options: EncryptedCertCacheOptions) {
    assertCertCache(store, 'EncryptedCertCache: store')
    const { keys, readPlaintext = false } = plainObject<EncryptedCertCacheOptions>(
      'EncryptedCertCache: options',
      options,
      { keys: true, readPlaintext: true },
    )
    this.#store = store
    this.#keys = toKeyRing(keys)
    this.#readPlaintext = boolean('EncryptedCertCache: readPlaintext', readPlaintext)
    if (isLocking(store)) this.tryLock = (...args) => store.tryLock(...args)
    if (isListable(store)) this.list = (...args) => store.list(...args)
  }

  /** @throws {StoreError} `ERR_STORE_DECRYPT` if the value exists but cannot be decrypted */
  async get(key: string, options?: CacheOperationOptions): Promise<Uint8Array | undefined> {
    assertCacheKey(key)
    const stored = await this.#store.get(key, options)
    if (!stored || (this.#readPlaintext && isPlaintext(stored))) return stored
    return open(stored, key, this.#keys)
  }

  async put(key: string, data: Uint8Array, options?: CacheOperationOptions): Promise<void> {
    assertCacheKey(key)
    const [id, encryptionKey] = this.#keys.entries().next().value as [string, KeyObject]
    await this.#store.put(key, seal(data, key, id, encryptionKey), options)
  }

  async delete(key: string, options?: CacheOperationOptions): Promise<void> {
    assertCacheKey(key)
    await this.#store.delete(key, options)
  }
}

/** Validates the keys and returns them by id, the current key first. */
function toKeyRing(value: unknown): ReadonlyMap<string, KeyObject> {
  const { current, previous = [] } = plainObject<EncryptionKeys>('EncryptedCertCache: keys', value, {
    current: true,
    previous: true,
  })
  if (!Array.isArray(previous)) throw new TypeError('EncryptedCertCache: keys.previous must be an array')
  const ring = new Map<string, KeyObject>()
  for (const [index, entry] of [current, ...previous].entries()) {
    const name = `EncryptedCertCache: keys.${index === 0 ? 'current' : `previous[${index - 1}]`}`
    const { id, key } = plainObject<EncryptionKey>(name, entry, { id: true, key: true })
    if (typeof id !== 'string' || !/^[ -~]{1,32}$/.test(id)) {
      throw new TypeError(`${name}.id must be 1 to 32 characters of printable ASCII`)
    }
    if (ring.has(id)) throw new TypeError(`${name}.id is a duplicate: each key needs an id of its own`)
    ring.set(id, toSecretKey(`${name}.key`, key))
  }
  return ring
}

/** A `KeyObject` keeps the bytes outside the JavaScript heap, and never shows them when inspected or serialised. */
function toSecretKey(name: string, value: unknown): KeyObject {
  const key = value instanceof Uint8Array && value.byteLength === 32 ? createSecretKey(value) : value
  if (key instanceof KeyObject && key.type === 'secret' && key.symmetricKeySize === 32) return key
  throw new TypeError(`${name} must be a Uint8Array or secret KeyObject of 32 bytes`)
}
