import {
  DeleteObjectCommand,
  GetObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  type PutObjectCommandInput,
  type S3Client,
} from '@aws-sdk/client-s3'
import { type CertCacheEntry, isCacheKey } from '../../cache/cert-cache.js'
import { assertBodySize, failureMessage, isLostRace, tooLongError } from '../../cache/service-errors.js'
import { createRunner, type RunOperation } from '../../cache/store-operation.js'
import { StoreError } from '../../util/errors.js'
import { nameOf, timeoutMessage, toStoreError } from './errors.js'

/**
 * The part of the SDK's `S3Client` that this store uses. A structural type, so that you can pass a client of another
 * version of the SDK.
 */
export interface S3ClientLike {
  send(command: never, options?: { abortSignal?: AbortSignal }): Promise<unknown>
}

/** https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html */
export type WriteCondition = { IfNoneMatch: '*' } | { IfMatch: string }

/** The maximum length of an object key, in bytes: https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html */
const maxObjectKeyBytes = 1_024

/**
 * The objects under a prefix of a bucket. Each call makes one request, with the time-out, and rejects with a {@link
 * StoreError}.
 */
export class S3Objects {
  readonly #client: S3Client
  readonly bucket: string
  readonly #prefix: string
  /** Runs an operation with the time-out and this store's errors. Resolves with `undefined` for NoSuchKey. */
  readonly run: RunOperation<undefined>
  readonly #encryption: Pick<PutObjectCommandInput, 'ServerSideEncryption'>

  constructor(
    client: S3ClientLike,
    bucket: string,
    options: { prefix: string; timeoutMs: number; serverSideEncryption: 'AES256' | 'aws:kms' | 'none' },
  ) {
    const { prefix, timeoutMs, serverSideEncryption } = options
    this.#client = client as S3Client
    this.bucket = bucket
    this.#prefix = prefix
    this.#encryption = serverSideEncryption === 'none' ? {} : { ServerSideEncryption: serverSideEncryption }
    this.run = createRunner({
      timeoutMs,
      timeoutMessage: (description) => timeoutMessage(timeoutMs, description, bucket),
      toStoreError: (thrown, description) => toStoreError(thrown, description, bucket),
    })
  }

  /** Returns the object, or `undefined` if it does not exist. */
  async read(key: string, signal?: AbortSignal): Promise<{ data: Uint8Array; etag: string } | undefined> {
    const location = this.#location(key)
    return this.run(`read "${key}"`, signal, async (abortSignal) => {
      const { Body, ETag, ContentLength } = await this.#client.send(new GetObjectCommand(location), {
        abortSignal,
      })
      if (!Body) throw new Error('the SDK returned no body')
      assertBodySize(Body, ContentLength, key, nameOf(this.bucket))
      return { data: await Body.transformToByteArray(), etag: ETag ?? '' }
    })
  }

  async write(key: string, data: Uint8Array, signal?: AbortSignal): Promise<void> {
    await this.#put(key, { Body: data, ContentType: 'application/x-pem-file' }, signal)
  }

  /** Writes under a condition. Returns the new ETag, or `undefined` if the condition does not hold. */
  async writeIf(key: string, text: string, condition: WriteCondition): Promise<string | undefined> {
    try {
      const output = await this.#put(key, {
        Body: Buffer.from(text),
        ContentType: 'text/plain',
        ...condition,
      })
      if (!output) return undefined
      if (output.ETag) return output.ETag
    } catch (error) {
      // 409: another conditional write was in progress.
      if (isLostRace(error)) return undefined
      throw error
    }
    const reason = 'the response has no ETag, on which locks depend'
    const advice = 'Use a service that returns the ETag of a write, as AWS S3 does.'
    const message = failureMessage(`write "${key}"`, nameOf(this.bucket), reason, advice)
    throw new StoreError('ERR_STORE_FAILED', message)
  }

  async remove(key: string, signal?: AbortSignal): Promise<void> {
    const command = new DeleteObjectCommand(this.#location(key))
    await this.run(`delete "${key}"`, signal, (abortSignal) => this.#client.send(command, { abortSignal }))
  }

  /** Lists the objects directly under the prefix whose names are valid keys, with one request per page. */
  async *list(signal?: AbortSignal): AsyncGenerator<CertCacheEntry> {
    let token: string | undefined
    do {
      // No EncodingType, so that names arrive unencoded: services differ in how they encode + and space. The delimiter
      // excludes other applications' folders: no key contains a slash.
      const command = new ListObjectsV2Command({
        Bucket: this.bucket,
        Prefix: this.#prefix,
        Delimiter: '/',
        ContinuationToken: token,
      })
      const page = await this.run('list', signal, (abortSignal) =>
        this.#client.send(command, { abortSignal }),
      )
      for (const { Key = '', Size = 0, LastModified = new Date(0) } of page?.Contents ?? []) {
        const name = Key.slice(this.#prefix.length)
        if (isCacheKey(name)) yield { name, size: Size, modified: LastModified }
      }
      token = page?.IsTruncated ? page.NextContinuationToken : undefined
    } while (token !== undefined)
  }

  #put(key: string, input: Partial<PutObjectCommandInput>, signal?: AbortSignal) {
    const command = new PutObjectCommand({ ...this.#location(key), ...this.#encryption, ...input })
    return this.run(`write "${key}"`, signal, (abortSignal) => this.#client.send(command, { abortSignal }))
  }

  /** @throws {StoreError} `ERR_STORE_ENTRY` if the key is too long for S3 */
  #location(key: string) {
    const name = this.#prefix + key
    if (name.length > maxObjectKeyBytes) {
      throw tooLongError(key, nameOf(this.bucket), `the object key is longer than ${maxObjectKeyBytes} bytes`)
    }
    return { Bucket: this.bucket, Key: name }
  }
}
