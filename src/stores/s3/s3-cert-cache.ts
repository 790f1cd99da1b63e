import {
  assertCacheKey,
  type CacheOperationOptions,
  type CertCacheEntry,
  type CertCacheLock,
  isCacheKey,
  type ListableCertCache,
  type LockingCertCache,
} from '../../cache/cert-cache.js'
import { releaseIfLate } from '../../cache/lease.js'
import type { StoreError } from '../../util/errors.js'
import { keyPrefix, milliseconds, nonEmptyString, oneOf, plainObject } from '../../util/validate.js'
import { conditionsIgnored } from './conditional-writes.js'
import { S3Locks } from './lock.js'
import { type S3ClientLike, S3Objects } from './objects.js'

const encryptions = ['AES256', 'aws:kms', 'none'] as const

/** What the header `x-amz-server-side-encryption` says; `none`: not sent, so that the bucket's default applies. */
export type ServerSideEncryption = (typeof encryptions)[number]

export interface S3CertCacheOptions {
  /**
   * Put before every key to make the object's, for a bucket shared with something else: for example `tls/`.
   * Printable ASCII without `\ : * ? " < > |`. Default: none.
   */
  prefix?: string
  /**
   * How the service encrypts what is written
   * (https://docs.aws.amazon.com/AmazonS3/latest/userguide/serv-side-encryption.html): with S3's keys, with the AWS
   * account's KMS key for S3, or as the bucket says. Services that know no encryption need `none`. Default `AES256`.
   */
  serverSideEncryption?: ServerSideEncryption
  /**
   * Bound of one request with the client's retries, its answer's body included, and of all that it takes to get a
   * lock, in ms: 1 to 300,000, default 5,000.
   */
  timeoutMs?: number
}

/**
 * A {@link CertCache} in an S3 bucket: one object per key, one request per operation.
 *
 * Rejects with a {@link StoreError} whose `code` tells wrong credentials, a missing permission, a missing bucket, an
 * unreachable endpoint and a time-out apart. Only the service's own `NoSuchKey` is a miss.
 */
export class S3CertCache implements LockingCertCache, ListableCertCache {
  readonly #objects: S3Objects
  readonly #bucket: string
  readonly #locks: S3Locks
  #conditionsIgnored: Promise<StoreError | undefined> | undefined

  /**
   * @param client any `S3Client` of `@aws-sdk/client-s3`, with its own region, credentials and retries
   * @param bucket its name; it has to be there
   * @throws {TypeError} naming the option that is wrong
   */
  constructor(client: S3ClientLike, bucket: string, options: S3CertCacheOptions = {}) {
    if (typeof client?.send !== 'function') {
      throw new TypeError('S3CertCache: client must be an S3Client of @aws-sdk/client-s3')
    }
    this.#bucket = nonEmptyString('S3CertCache: bucket', bucket)
    const { prefix, timeoutMs, serverSideEncryption } = plainObject('S3CertCache: options', options)
    this.#objects = new S3Objects(client, this.#bucket, {
      prefix: keyPrefix('S3CertCache: prefix', prefix ?? ''),
      timeoutMs: milliseconds('S3CertCache: timeoutMs', timeoutMs ?? 5_000, 300_000),
      serverSideEncryption: oneOf(
        'S3CertCache: serverSideEncryption',
        serverSideEncryption ?? 'AES256',
        encryptions,
      ),
    })
    this.#locks = new S3Locks(this.#objects)
  }

  async get(key: string, options?: CacheOperationOptions): Promise<Uint8Array | undefined> {
    assertCacheKey(key)
    return (await this.#objects.read(key, options?.signal))?.data
  }

  async put(key: string, data: Uint8Array, options?: CacheOperationOptions): Promise<void> {
    assertCacheKey(key)
    await this.#objects.write(key, data, 'application/x-pem-file', options?.signal)
  }

  async delete(key: string, options?: CacheOperationOptions): Promise<void> {
    assertCacheKey(key)
    await this.#objects.remove(key, options?.signal)
  }

  /** A request per 1,000 objects. Passes over objects whose name is no key, and whatever has a `/` behind the prefix. */
  async *list(options?: CacheOperationOptions): AsyncGenerator<CertCacheEntry> {
    let token: string | undefined
    do {
      const page = await this.#objects.page(token, options?.signal)
      yield* page.objects.filter(({ name }) => isCacheKey(name))
      token = page.next
    } while (token !== undefined)
  }

  /**
   * An object `<name>+lock`, written under conditions: 30 s, renewed every 10 s. Two requests where the lock is free,
   * one where it isn't; the first call ever makes four more, to see whether the service honours the conditions.
   * The object stays when the lock is released.
   *
   * A dead holder's lock is taken over by a store that has been asked for it twice, with 30 s between.
   * @throws {StoreError} also where the service ignores the conditions
   */
  async tryLock(name: string, options?: CacheOperationOptions): Promise<CertCacheLock | undefined> {
    assertCacheKey(name)
    options?.signal?.throwIfAborted()
    const taking = this.#assertConditions().then(() => this.#locks.tryLock(name))
    // The caller's signal is for taking the lock; renewing and giving it back go on.
    return releaseIfLate(taking, () => this.#objects.inTime(`lock ${name}`, options?.signal, () => taking))
  }

  /** Asks the service once; again only if it could not be told. */
  async #assertConditions(): Promise<void> {
    this.#conditionsIgnored ??= conditionsIgnored(this.#objects, this.#bucket).catch((error) => {
      this.#conditionsIgnored = undefined
      throw error
    })
    const error = await this.#conditionsIgnored
    if (error) throw error
  }
}
