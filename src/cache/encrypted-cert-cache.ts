import { createSecretKey, KeyObject } from 'node:crypto'
import { plainObject } from '../util/validate.js'
import {
  assertCacheKey,
  assertCertCache,
  type CacheOperationOptions,
  type CertCache,
  isListable,
  isLocking,
  type ListableCertCache,
  type LockingCertCache,
} from './cert-cache.js'
import { failure, isPlaintext, open, seal } from './envelope.js'

/** A key for AES-256. */
export interface EncryptionKey {
  /**
   * Its name: 1 to 32 characters of printable ASCII, unique among the keys. It is stored in the clear with each
   * value, so that the value is decrypted with the right key. Never give another key the same id.
   */
  readonly id: string
  /** 32 random bytes, or a secret `KeyObject` of 32 bytes. Bytes are copied: you may overwrite them afterwards. */
  readonly key: Uint8Array | KeyObject
}

/** The keys of a fleet, alike on all machines but during a rotation. */
export interface EncryptionKeys {
  /** What is put is encrypted with it. Change it before 2^32 values (NIST SP 800-38D section 8.3). */
  readonly current: EncryptionKey
  /** Further keys that values may be encrypted with. Default: none. */
  readonly previous?: readonly EncryptionKey[]
}

export interface EncryptedCertCacheOptions {
  readonly keys: EncryptionKeys
  /**
   * Whether values that are not encrypted are read, too: for the time of a migration. As long as it is `true`,
   * whoever can write the store can put such values into it. Default: `false`, they are an error.
   */
  readonly readPlaintext?: boolean
}

/**
 * Any {@link CertCache} with its values encrypted, each bound to its cache key: AES-256-GCM, from `node:crypto`.
 *
 * Hidden: the values. Not hidden: the cache keys, so the hosts, and the values' sizes and times. Not prevented: that
 * whoever can write the store deletes a value or puts back an older one of the same cache key. Go's `autocert` can't
 * read such a store.
 *
 * What can't be decrypted (an unknown key, a wrong one, tampered, truncated, not encrypted) is a `StoreError` with
 * the code `ERR_STORE_DECRYPT`, never a miss.
 */
export class EncryptedCertCache implements CertCache {
  /** The store's own, if it has locks; no such property otherwise. */
  declare readonly tryLock?: LockingCertCache['tryLock']
  /** The store's own, if it has one; no such property otherwise. Sizes are those of the encrypted values. */
  declare readonly list?: ListableCertCache['list']
  readonly #store: CertCache
  readonly #currentId: string
  readonly #keys: ReadonlyMap<string, KeyObject>
  readonly #readPlaintext: boolean

  /** @throws {TypeError} naming the option that is wrong */
  constructor(store: CertCache, options: EncryptedCertCacheOptions) {
    assertCertCache(store, 'EncryptedCertCache: store')
    const { keys, readPlaintext = false } = plainObject('EncryptedCertCache: options', options)
    if (typeof readPlaintext !== 'boolean') {
      throw new TypeError('EncryptedCertCache: readPlaintext must be true or false')
    }
    this.#store = store
    this.#keys = keyRing(keys)
    this.#currentId = this.#keys.keys().next().value as string
    this.#readPlaintext = readPlaintext
    if (isLocking(store)) this.tryLock = (name, bound) => store.tryLock(name, bound)
    if (isListable(store)) this.list = (bound) => store.list(bound)
  }

  /** @throws {StoreError} `ERR_STORE_DECRYPT` if there is a value that can't be decrypted */
  async get(key: string, options?: CacheOperationOptions): Promise<Uint8Array | undefined> {
    assertCacheKey(key)
    const stored = await this.#store.get(key, options)
    if (!stored || (this.#readPlaintext && isPlaintext(stored))) return stored
    if (isPlaintext(stored)) throw failure(key, 'it is not encrypted; `readPlaintext` is for a migration')
    return open(stored, key, this.#keys)
  }

  async put(key: string, data: Uint8Array, options?: CacheOperationOptions): Promise<void> {
    assertCacheKey(key)
    const encryptionKey = this.#keys.get(this.#currentId) as KeyObject
    await this.#store.put(key, seal(data, key, this.#currentId, encryptionKey), options)
  }

  async delete(key: string, options?: CacheOperationOptions): Promise<void> {
    assertCacheKey(key)
    await this.#store.delete(key, options)
  }
}

/** The keys by their ids, the current one first. */
function keyRing(value: unknown): ReadonlyMap<string, KeyObject> {
  const { current, previous = [] } = plainObject('EncryptedCertCache: keys', value)
  if (!Array.isArray(previous)) throw new TypeError('EncryptedCertCache: keys.previous must be an array')
  const ring = new Map<string, KeyObject>()
  for (const [index, entry] of [current, ...previous].entries()) {
    const name = `EncryptedCertCache: keys.${index === 0 ? 'current' : `previous[${index - 1}]`}`
    const { id, key } = plainObject(name, entry)
    if (typeof id !== 'string' || !/^[ -~]{1,32}$/.test(id)) {
      throw new TypeError(`${name}.id must be 1 to 32 characters of printable ASCII`)
    }
    if (ring.has(id)) throw new TypeError(`${name}.id is that of another key`)
    ring.set(id, secretKey(`${name}.key`, key))
  }
  return ring
}

/** Its bytes are outside of the JavaScript heap, and no inspection or serialisation shows them. */
function secretKey(name: string, value: unknown): KeyObject {
  const key = value instanceof Uint8Array && value.byteLength === 32 ? createSecretKey(value) : value
  if (key instanceof KeyObject && key.type === 'secret' && key.symmetricKeySize === 32) return key
  throw new TypeError(`${name} must be 32 bytes: a Uint8Array, or a secret KeyObject`)
}
