import type { Readable } from 'node:stream'
import {
  assertCacheKey,
  type CacheOperationOptions,
  type CertCacheEntry,
  type CertCacheLock,
  isCacheKey,
  type ListableCertCache,
  type LockingCertCache,
  maxValueBytes,
} from '../../cache/cert-cache.js'
import { systemClock } from '../../util/clock.js'
import { withDeadline } from '../../util/deadline.js'
import { StoreError } from '../../util/errors.js'
import { keyPrefix, milliseconds, plainObject } from '../../util/validate.js'
import type { BlobContainerClient, ListedPage } from './container-client.js'
import { advice, toStoreError } from './errors.js'
import type { AzureBlobCertCacheOptions, AzureConnectOptions } from './options.js'
import { retrying } from './retry.js'

const contentType = 'application/x-pem-file'
/** The longest name of a blob: https://learn.microsoft.com/rest/api/storageservices/naming-and-referencing-containers--blobs--and-metadata */
const longestBlobName = 1_024
/** The service allows 5,000; parsing the answer takes memory, and the first keys are wanted soon. */
const blobsPerPage = 1_000

/**
 * A {@link CertCache} in an Azure Blob Storage container: one block blob per key, one request per operation.
 * Shares its containers with Go's `azcertcache`.
 *
 * Rejects with a {@link StoreError} whose `code` tells wrong credentials, a missing permission, a missing
 * container, an unreachable endpoint and a time-out apart. Only the service's own `BlobNotFound` is a miss.
 */
export class AzureBlobCertCache implements LockingCertCache, ListableCertCache {
  readonly #container: BlobContainerClient
  readonly #prefix: string
  readonly #timeoutMs: number

  /**
   * @param container any `ContainerClient` the SDK can make, with its own retry options: the time-out here
   *   bounds them all together
   * @throws {TypeError} naming the option that is wrong
   */
  constructor(container: BlobContainerClient, options: AzureBlobCertCacheOptions = {}) {
    if (typeof container?.getBlockBlobClient !== 'function') {
      throw new TypeError('AzureBlobCertCache: container must be a ContainerClient of @azure/storage-blob')
    }
    const { prefix, timeoutMs } = plainObject('AzureBlobCertCache: options', options)
    this.#container = container
    this.#prefix = keyPrefix('AzureBlobCertCache: prefix', prefix ?? '')
    this.#timeoutMs = milliseconds('AzureBlobCertCache: timeoutMs', timeoutMs ?? 5_000, 300_000)
  }

  /**
   * Makes the SDK's client and checks it with one request (the read of a key that can't exist), so that wrong
   * credentials, a missing container and an unreachable endpoint show at start; and with the same without credentials,
   * which must not be answered.
   * @throws {TypeError} naming the option that is wrong or missing
   * @throws {StoreError} telling what to do
   */
  static async connect(options: AzureConnectOptions): Promise<AzureBlobCertCache> {
    // The SDK costs 130 ms and 24 MB to load.
    const { connectContainer } = await import('./connect.js')
    const { container, cacheOptions, createContainer, readAnonymously } = await connectContainer(options)
    const cache = new AzureBlobCertCache(container, cacheOptions)
    if (createContainer) await cache.#run('create the container', undefined, createContainer)
    await cache.#read(impossibleKey)
    if (readAnonymously) await cache.#refusePublic((signal) => readAnonymously(impossibleKey, signal))
    return cache
  }

  async get(key: string, options?: CacheOperationOptions): Promise<Uint8Array | undefined> {
    assertCacheKey(key)
    return this.#read(key, options?.signal)
  }

  async put(key: string, data: Uint8Array, options?: CacheOperationOptions): Promise<void> {
    const blob = this.#blob(key)
    await this.#run(`write ${key}`, options?.signal, (abortSignal) =>
      blob.upload(data, data.byteLength, { abortSignal, blobHTTPHeaders: { blobContentType: contentType } }),
    )
  }

  async delete(key: string, options?: CacheOperationOptions): Promise<void> {
    const blob = this.#blob(key)
    await this.#run(`delete ${key}`, options?.signal, (abortSignal) => blob.delete({ abortSignal }))
  }

  /**
   * A lease on the blob `<name>+lock`, of 30 s, renewed every 10 s. Needs no permission that writing and deleting
   * don't need.
   */
  async tryLock(name: string, options?: CacheOperationOptions): Promise<CertCacheLock | undefined> {
    // Not only with the suffix: '' and '..' become legal by it.
    assertCacheKey(name)
    // The caller's signal is for taking the lock; renewing and giving it back go on.
    const blob = this.#blob(`${name}+lock`)
    const { acquireLease } = await import('./lease.js')
    const { releaseIfLate } = await import('../../cache/lease.js')
    options?.signal?.throwIfAborted()
    const taking = acquireLease(blob, name, (what, request) => this.#run(what, undefined, request))
    return releaseIfLate(taking, () => this.#inTime(`lock ${name}`, options?.signal, () => taking))
  }

  /**
   * One request per thousand blobs, in the order of their names. Blobs outside the prefix, or whose names are no keys,
   * are left out. Needs the permission to list, which nothing else here does.
   */
  async *list(options?: CacheOperationOptions): AsyncGenerator<CertCacheEntry, void, undefined> {
    const signal = options?.signal
    let continuationToken: string | undefined
    do {
      const page = await this.#page(continuationToken, signal)
      for (const { name, properties } of page.segment.blobItems) {
        const key = name.slice(this.#prefix.length)
        if (!isCacheKey(key)) continue
        yield { name: key, size: properties.contentLength ?? 0, modified: properties.lastModified }
      }
      continuationToken = page.continuationToken || undefined
    } while (continuationToken !== undefined)
  }

  #blob(key: string) {
    assertCacheKey(key)
    return this.#blobClient(key)
  }

  #blobClient(key: string) {
    const name = this.#prefix + key
    if (name.length > longestBlobName) {
      throw new StoreError(
        'ERR_STORE_ENTRY',
        `the blob name of ${key} is longer than ${longestBlobName} characters`,
      )
    }
    return this.#container.getBlockBlobClient(name)
  }

  async #read(key: string, signal?: AbortSignal): Promise<Uint8Array | undefined> {
    const blob = this.#blobClient(key)
    return this.#run(`read ${key}`, signal, async (abortSignal) => {
      // Not downloadToBuffer(), which asks for the properties first: two requests.
      const { readableStreamBody, contentLength } = await blob.download(0, undefined, { abortSignal })
      if (!readableStreamBody) throw new Error('the SDK returned no body')
      // Reading on would keep the connection, and cost what is not wanted.
      if ((contentLength ?? 0) > maxValueBytes) {
        ;(readableStreamBody as Readable).destroy()
        const container = this.#container.containerName
        throw new StoreError(
          'ERR_STORE_ENTRY',
          `${key} in container ${container} is larger than any certificate`,
        )
      }
      return readAll(readableStreamBody)
    })
  }

  async #page(continuationToken: string | undefined, signal?: AbortSignal): Promise<ListedPage> {
    const settings = { maxPageSize: blobsPerPage, ...(continuationToken && { continuationToken }) }
    const page = await this.#run('list the blobs', signal, async (abortSignal) => {
      // An iterator of its own for each page: so each has its own time-out.
      const blobs = this.#container.listBlobsFlat({ prefix: this.#prefix, abortSignal })
      const { value, done } = await blobs.byPage(settings).next()
      if (done) throw new Error('the SDK returned no page')
      return value as ListedPage
    })
    if (page) return page
    throw new StoreError('ERR_STORE_FAILED', 'Azure Blob Storage answered a listing with BlobNotFound')
  }

  /** https://learn.microsoft.com/azure/storage/blobs/anonymous-read-access-configure */
  async #refusePublic(readAnonymously: (signal: AbortSignal) => Promise<void>): Promise<void> {
    try {
      // To those who may not read, the service does not tell that there is no such blob.
      await this.#run('read without credentials', undefined, readAnonymously)
    } catch (thrown) {
      const status = thrown instanceof StoreError ? thrown.statusCode : undefined
      if (status !== undefined && refusals.has(status)) return
      throw thrown
    }
    const container = this.#container.containerName
    throw new StoreError(
      'ERR_STORE_PUBLIC',
      `anybody can read container ${container}, and the private keys in it: disable anonymous access, or pass allowAnonymousRead: true to connect()`,
    )
  }

  #inTime<T>(
    what: string,
    signal: AbortSignal | undefined,
    work: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const timeout = () =>
      new StoreError(
        'ERR_STORE_TIMEOUT',
        `Azure Blob Storage took longer than ${this.#timeoutMs} ms to ${what} in container ${this.#container.containerName}. ${advice.ERR_STORE_TIMEOUT}`,
      )
    return withDeadline(work, { ms: this.#timeoutMs, clock: systemClock, error: timeout, signal })
  }

  /** Under the time-out, with the SDK's errors turned into ours; `undefined` if there is no such blob. */
  async #run<T>(
    what: string,
    signal: AbortSignal | undefined,
    operation: (signal: AbortSignal) => Promise<T>,
  ): Promise<T | undefined> {
    const timeoutMs = this.#timeoutMs
    try {
      return await this.#inTime(what, signal, (abortSignal) =>
        retrying(() => operation(abortSignal), { timeoutMs, signal: abortSignal }),
      )
    } catch (thrown) {
      if (signal?.aborted || thrown instanceof StoreError) throw thrown
      const error = toStoreError(thrown, what, this.#container.containerName)
      if (error === 'BlobNotFound') return undefined
      throw error
    }
  }
}

/** Without credentials: not allowed, not told that there is such a container, or public access is not permitted. */
const refusals = new Set([401, 403, 404, 409])
/** Outside the alphabet of keys, so never written; to Azure a name like any other. */
const impossibleKey = 'acme-cert-cache/connect'

async function readAll(stream: NodeJS.ReadableStream): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  for await (const chunk of stream) chunks.push(chunk as unknown as Uint8Array)
  return Buffer.concat(chunks)
}
