import {
  assertCacheKey,
  type CacheOperationOptions,
  type CertCacheEntry,
  type CertCacheLock,
  type ListableCertCache,
  type LockingCertCache,
} from '../../cache/cert-cache.js'
import { acquireLock, holdLease, runAcquisition } from '../../cache/leases/lease.js'
import { LeaseWatch } from '../../cache/leases/lease-watch.js'
import { lazy } from '../../util/lazy.js'
import { keyPrefix, milliseconds, nonEmptyString, oneOf, plainObject } from '../../util/validate.js'
import { probeConditionalWrites } from './conditional-writes.js'
import { createLease } from './lock.js'
import { type S3ClientLike, S3Objects } from './objects.js'

const encryptions = ['AES256', 'aws:kms', 'none'] as const

/** The header `x-amz-server-side-encryption`. With `none` it is not sent, and the bucket's default applies. */
export type ServerSideEncryption = (typeof encryptions)[number]

/** Options of `S3CertCache`. */
export interface S3CertCacheOptions {
  /**
   * Prefix of every object key, for a bucket that also holds other data: for example `tls/`. Printable ASCII without
   * `\ : * ? " < > |`. Default: none.
   */
  prefix?: string
  /**
   * How the service encrypts the values: with S3's keys (`AES256`), with the AWS account's KMS key for S3 (`aws:kms`),
   * or as the bucket is configured (`none`). Services without server-side encryption need `none`. Default: `AES256`.
   *
   * See https://docs.aws.amazon.com/AmazonS3/latest/userguide/serv-side-encryption.html
   */
  serverSideEncryption?: ServerSideEncryption
  /**
   * Time-out of one request in ms, including the client's retries and reading the response body. 1 to 300,000. Default:
   * 5,000.
   */
  timeoutMs?: number
}

/**
 * A {@link CertCache} in an S3 bucket: one object per key, one request per operation.
 *
 * Rejects with a {@link StoreError} whose `code` distinguishes invalid credentials, a missing permission, a missing
 * bucket, an unreachable endpoint and a time-out. Only the service's error code `NoSuchKey` is a miss.
 */
export class S3CertCache implements LockingCertCache, ListableCertCache {
  readonly #objects: S3Objects
  readonly #watch = new LeaseWatch()
  /** Made by the first `tryLock`. */
  readonly #probe = lazy(() => probeConditionalWrites(this.#objects))

  /**
   * @param client any `S3Client` of `@aws-sdk/client-s3`, configured with region, credentials and retries
   * @param bucket the name of an existing bucket
   * @throws {TypeError} naming the invalid option
   */
  constructor(client: S3ClientLike, bucket: string, options: S3CertCacheOptions = {}) {
    if (typeof client?.send !== 'function') {
      throw new TypeError('S3CertCache: client must be an S3Client of @aws-sdk/client-s3')
    }
    nonEmptyString('S3CertCache: bucket', bucket)
    const { prefix, timeoutMs, serverSideEncryption } = plainObject<S3CertCacheOptions>(
      'S3CertCache: options',
      options,
      { prefix: true, timeoutMs: true, serverSideEncryption: true },
    )
    this.#objects = new S3Objects(client, bucket, {
      prefix: keyPrefix('S3CertCache: prefix', prefix ?? ''),
      timeoutMs: milliseconds('S3CertCache: timeoutMs', timeoutMs ?? 5_000, 300_000),
      serverSideEncryption: oneOf(
        'S3CertCache: serverSideEncryption',
        serverSideEncryption ?? 'AES256',
        encryptions,
      ),
    })
  }

  async get(key: string, options?: CacheOperationOptions): Promise<Uint8Array | undefined> {
    assertCacheKey(key)
    return (await this.#objects.read(key, options?.signal))?.data
  }

  async put(key: string, data: Uint8Array, options?: CacheOperationOptions): Promise<void> {
    assertCacheKey(key)
    await this.#objects.write(key, data, options?.signal)
  }

  async delete(key: string, options?: CacheOperationOptions): Promise<void> {
    assertCacheKey(key)
    await this.#objects.remove(key, options?.signal)
  }

  /**
   * Lists the keys, with one request per 1,000 objects. Skips objects whose names are not valid keys, and objects with
   * a `/` after the prefix.
   */
  list(options?: CacheOperationOptions): AsyncGenerator<CertCacheEntry> {
    return this.#objects.list(options?.signal)
  }

  /**
   * Acquires a lease of 30 s by a conditional write to the object `<name>+lock`, and renews it every 10 s. Makes two
   * requests if the lock is free, and one if it is not, each with the time-out, within 25 s in all. Until the service
   * has proved that it supports conditional writes, a call makes four more. The object remains after the lock is released.
   *
   * A dead holder's lock is taken over by a second call on the same store at least 30 s after the first.
   * @throws {StoreError} also if the service does not support conditional writes
   */
  async tryLock(name: string, options?: CacheOperationOptions): Promise<CertCacheLock | undefined> {
    return acquireLock(name, options?.signal, runAcquisition, async () => {
      const error = await this.#probe()
      if (error) {
        // The service may be configured or replaced while this process runs.
        this.#probe.forget()
        throw error
      }
      return holdLease(name, createLease(this.#objects, name, this.#watch))
    })
  }
}
