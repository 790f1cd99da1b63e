import { buffer } from 'node:stream/consumers'
import {
  assertCacheKey,
  type CacheOperationOptions,
  type CertCacheEntry,
  type CertCacheLock,
  isCacheKey,
  type ListableCertCache,
  type LockingCertCache,
  lockKey,
} from '../../cache/cert-cache.js'
import { acquireLock, runAcquisition } from '../../cache/leases/lease.js'
import { assertBodySize, failureMessage, tooLongError } from '../../cache/service-errors.js'
import { createRunner, type RunOperation } from '../../cache/store-operation.js'
import { StoreError } from '../../util/errors.js'
import { keyPrefix, milliseconds, plainObject } from '../../util/validate.js'
import { connectContainer, readAnonymously } from './connect.js'
import type { BlobContainerClient, ListedPage } from './container-client.js'
import { nameOf, timeoutMessage, toStoreError } from './errors.js'
import { acquireLease } from './lease.js'
import type { AzureBlobCertCacheOptions, AzureConnectOptions } from './options.js'
import { retryDelay } from './retry.js'

/** The maximum length of a blob name: https://learn.microsoft.com/rest/api/storageservices/naming-and-referencing-containers--blobs--and-metadata */
const maxBlobNameLength = 1_024
/** The service allows 5,000. A smaller page takes less memory to parse, and its first keys arrive sooner. */
const blobsPerPage = 1_000
const defaultTimeoutMs = 5_000

/**
 * A {@link CertCache} in an Azure Blob Storage container: one block blob per key, one request per operation. A
 * container can be shared with Go's `azcertcache`.
 *
 * Rejects with a {@link StoreError} whose `code` distinguishes invalid credentials, a missing permission, a missing
 * container, an unreachable endpoint and a time-out. Only the service's error code `BlobNotFound` is a miss.
 */
export class AzureBlobCertCache implements LockingCertCache, ListableCertCache {
  readonly #container: BlobContainerClient
  readonly #prefix: string
  /** Resolves with `undefined` for BlobNotFound. */
  readonly #run: RunOperation<undefined>

  /**
   * @param container any `ContainerClient` of the SDK. Its own retries are included in `timeoutMs`.
   * @throws {TypeError} naming the invalid option
   */
  constructor(container: BlobContainerClient, options: AzureBlobCertCacheOptions = {}) {
    if (typeof container?.getBlockBlobClient !== 'function') {
      throw new TypeError('AzureBlobCertCache: container must be a ContainerClient of @azure/storage-blob')
    }
    const { prefix, timeoutMs } = plainObject<AzureBlobCertCacheOptions>(
      'AzureBlobCertCache: options',
      options,
      { prefix: true, timeoutMs: true },
    )
    this.#container = container
    this.#prefix = keyPrefix('AzureBlobCertCache: prefix', prefix ?? '')
    const ms = milliseconds('AzureBlobCertCache: timeoutMs', timeoutMs ?? defaultTimeoutMs, 300_000)
    const { containerName } = container
    this.#run = createRunner({
      timeoutMs: ms,
      delayAfter: (thrown, index, elapsedMs) => retryDelay(thrown, index, elapsedMs, ms),
      timeoutMessage: (description) => timeoutMessage(ms, description, containerName),
      toStoreError: (thrown, description) => toStoreError(thrown, description, containerName),
    })
  }

  /**
   * Creates the SDK's client and checks it with one read of a blob that cannot exist, so that invalid credentials, a
   * missing container or an unreachable endpoint fail at start. Then checks that the same read without credentials is
   * refused, unless `allowAnonymousRead` is `true`.
   * @throws {TypeError} naming the invalid or missing option
   * @throws {StoreError} whose message says what to do
   */
  static async connect(options: AzureConnectOptions): Promise<AzureBlobCertCache> {
    const container = await connectContainer(options)
    const { prefix = '', timeoutMs = defaultTimeoutMs } = options
    const cache = new AzureBlobCertCache(container, { prefix, timeoutMs })
    if (options.createContainer) {
      await cache.#run('create', undefined, (abortSignal) => container.createIfNotExists({ abortSignal }))
    }
    await cache.#read(impossibleKey, 'open')
    if (!options.allowAnonymousRead) {
      await cache.#assertNotPublic((signal) => readAnonymously(container.url, impossibleKey, signal))
    }
    return cache
  }

  async get(key: string, options?: CacheOperationOptions): Promise<Uint8Array | undefined> {
    assertCacheKey(key)
    return this.#read(key, `read "${key}"`, options?.signal)
  }

  async put(key: string, data: Uint8Array, options?: CacheOperationOptions): Promise<void> {
    assertCacheKey(key)
    const blob = this.#blob(key)
    await this.#run(`write "${key}"`, options?.signal, (abortSignal) =>
      blob.upload(data, data.byteLength, {
        abortSignal,
        blobHTTPHeaders: { blobContentType: 'application/x-pem-file' },
      }),
    )
  }

  async delete(key: string, options?: CacheOperationOptions): Promise<void> {
    assertCacheKey(key)
    const blob = this.#blob(key)
    await this.#run(`delete "${key}"`, options?.signal, (abortSignal) => blob.delete({ abortSignal }))
  }

  /**
   * Acquires a lease of 30 s on the blob `<name>+lock`, and renews it every 10 s. Makes three requests if the lock is
   * free, each with the time-out, within 25 s in all. The permissions to write and delete blobs are sufficient.
   */
  async tryLock(name: string, options?: CacheOperationOptions): Promise<CertCacheLock | undefined> {
    return acquireLock(name, options?.signal, runAcquisition, () =>
      acquireLease(this.#blob(lockKey(name)), name, this.#run),
    )
  }

  /**
   * Lists the keys in alphabetical order, with one request per 1,000 blobs. Skips blobs outside the prefix, and blobs
   * whose names are not valid keys. Needs the list permission; no other method does.
   */
  async *list(options?: CacheOperationOptions): AsyncGenerator<CertCacheEntry, void, undefined> {
    let continuationToken: string | undefined
    do {
      const pageSettings = { maxPageSize: blobsPerPage, ...(continuationToken && { continuationToken }) }
      const page = await this.#run('list', options?.signal, async (abortSignal) => {
        // A new iterator for each page, because each page has its own time-out.
        const blobs = this.#container.listBlobsFlat({ prefix: this.#prefix, abortSignal })
        const { value, done } = await blobs.byPage(pageSettings).next()
        if (done) throw new Error('the SDK returned no page')
        return value as ListedPage
      })
      if (!page) {
        const reason = 'unexpected response from Azure Blob Storage (BlobNotFound)'
        const message = failureMessage('list', this.#place, reason, 'Check the endpoint.')
        throw new StoreError('ERR_STORE_FAILED', message)
      }
      for (const { name, properties } of page.segment.blobItems) {
        const key = name.slice(this.#prefix.length)
        if (!isCacheKey(key)) continue
        yield { name: key, size: properties.contentLength ?? 0, modified: properties.lastModified }
      }
      continuationToken = page.continuationToken || undefined
    } while (continuationToken !== undefined)
  }

  get #place(): string {
    return nameOf(this.#container.containerName)
  }

  #blob(key: string) {
    const name = this.#prefix + key
    if (name.length > maxBlobNameLength) {
      const reason = `the blob name is longer than ${maxBlobNameLength} characters`
      throw tooLongError(key, this.#place, reason)
    }
    return this.#container.getBlockBlobClient(name)
  }

  async #read(key: string, description: string, signal?: AbortSignal): Promise<Uint8Array | undefined> {
    const blob = this.#blob(key)
    return this.#run(description, signal, async (abortSignal) => {
      // downloadToBuffer() would make two requests: it reads the properties first.
      const { readableStreamBody, contentLength } = await blob.download(0, undefined, { abortSignal })
      if (!readableStreamBody) throw new Error('the SDK returned no body')
      assertBodySize(readableStreamBody, contentLength, key, this.#place)
      return buffer(readableStreamBody)
    })
  }

  /** See https://learn.microsoft.com/azure/storage/blobs/anonymous-read-access-configure */
  async #assertNotPublic(readAnonymously: (signal: AbortSignal) => Promise<void>): Promise<void> {
    try {
      // BlobNotFound means that the read was allowed: without access, the service does not tell whether a blob exists.
      await this.#run('check anonymous access', undefined, readAnonymously)
    } catch (thrown) {
      // No access, a hidden container, or public access disabled.
      const isRefused = thrown instanceof StoreError && [401, 403, 404, 409].includes(thrown.statusCode ?? 0)
      if (isRefused) return
      throw thrown
    }
    const reason = 'anyone can read the private keys in it, without credentials'
    const advice = 'Disable anonymous access to the container, or pass allowAnonymousRead: true to connect().'
    throw new StoreError('ERR_STORE_PUBLIC', failureMessage('use', this.#place, reason, advice))
  }
}

/** A valid blob name that never exists, because it is outside the key alphabet. */
const impossibleKey = 'acme-cert-cache/connect'
