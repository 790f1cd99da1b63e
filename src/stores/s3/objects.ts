import type { Readable } from 'node:stream'
import {
  DeleteObjectCommand,
  GetObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  type PutObjectCommandInput,
  type S3Client,
} from '@aws-sdk/client-s3'
import { maxValueBytes } from '../../cache/cert-cache.js'
import { createRunner, type RunOperation } from '../../cache/store-operation.js'
import { StoreError } from '../../util/errors.js'
import { toStoreError } from './errors.js'

/**
 * The part of the SDK's `S3Client` that this store uses. A structural type, so that you can pass a client of another
 * version of the SDK.
 */
export interface S3ClientLike {
  send(command: never, options?: { abortSignal?: AbortSignal }): Promise<unknown>
}

export interface StoredObject {
  data: Uint8Array
  etag: string
}

/** One page of a listing. */
export interface ListedPage {
  readonly objects: readonly { readonly name: string; readonly size: number; readonly modified: Date }[]
  /** The continuation token of the next page, if there is one. */
  readonly nextToken: string | undefined
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
  readonly #bucket: string
  readonly #prefix: string
  /** Runs an operation with the time-out and this store's errors. Resolves with `undefined` for NoSuchKey. */
  readonly run: RunOperation<undefined>
  readonly #encryption: Pick<PutObjectCommandInput, 'ServerSideEncryption'>

  constructor(
    client: S3ClientLike,
    bucket: string,
    options: { prefix: string; timeoutMs: number; serverSideEncryption: 'AES256' | 'aws:kms' | 'none' },
  ) {
    this.#client = client as S3Client
    this.#bucket = bucket
    this.#prefix = options.prefix
    const encryption = options.serverSideEncryption
    this.#encryption = encryption === 'none' ? {} : { ServerSideEncryption: encryption }
    const { timeoutMs } = options
    this.run = createRunner({
      timeoutMs,
      timeoutMessage: (description) =>
        `S3 took longer than ${timeoutMs} ms to ${description} in bucket ${bucket}`,
      toStoreError: (thrown, description) => toStoreError(thrown, description, bucket),
    })
  }

  /** Returns the object, or `undefined` if it does not exist. */
  async read(key: string, signal?: AbortSignal): Promise<StoredObject | undefined> {
    const location = this.#location(key)
    return this.run(`read ${key}`, signal, async (abortSignal) => {
      const { Body, ETag, ContentLength } = await this.#client.send(new GetObjectCommand(location), {
        abortSignal,
      })
      if (!Body) throw new Error('the SDK returned no body')
      if ((ContentLength ?? 0) > maxValueBytes) {
        ;(Body as Readable).destroy()
        throw new StoreError(
          'ERR_STORE_ENTRY',
          `${key} in bucket ${this.#bucket} is larger than any certificate`,
        )
      }
      return { data: await Body.transformToByteArray(), etag: ETag ?? '' }
    })
  }

  async write(key: string, data: Uint8Array, contentType: string, signal?: AbortSignal): Promise<void> {
    await this.#put(`write ${key}`, key, { Body: data, ContentType: contentType }, signal)
  }

  /** Writes under a condition. Returns the new ETag, or `undefined` if the condition does not hold. */
  async writeIf(key: string, text: string, condition: WriteCondition): Promise<string | undefined> {
    const input = { Body: Buffer.from(text), ContentType: 'text/plain', ...condition }
    try {
      const output = await this.#put(`write ${key}`, key, input)
      if (!output) return undefined
      if (output.ETag) return output.ETag
    } catch (error) {
      // 409: another conditional write was in progress.
      const status = error instanceof StoreError ? error.statusCode : undefined
      if (status === 409 || status === 412) return undefined
      throw error
    }
    throw new StoreError('ERR_STORE_FAILED', `S3 wrote ${key} in bucket ${this.#bucket} but named no ETag`)
  }

  async remove(key: string, signal?: AbortSignal): Promise<void> {
    const command = new DeleteObjectCommand(this.#location(key))
    await this.run(`delete ${key}`, signal, (abortSignal) => this.#client.send(command, { abortSignal }))
  }

  /** Reads one page of the objects directly under the prefix. */
  async listPage(token: string | undefined, signal?: AbortSignal): Promise<ListedPage> {
    // No EncodingType, so that names arrive unencoded: services differ in how they encode + and space. The delimiter
    // excludes other applications' folders: no key contains a slash.
    const command = new ListObjectsV2Command({
      Bucket: this.#bucket,
      Prefix: this.#prefix,
      Delimiter: '/',
      ContinuationToken: token,
    })
    const page = await this.run('list the objects', signal, (abortSignal) =>
      this.#client.send(command, { abortSignal }),
    )
    const objects = (page?.Contents ?? []).map(({ Key = '', Size = 0, LastModified = new Date(0) }) => ({
      name: Key.slice(this.#prefix.length),
      size: Size,
      modified: LastModified,
    }))
    return { objects, nextToken: page?.IsTruncated ? page.NextContinuationToken : undefined }
  }

  #put(description: string, key: string, input: Partial<PutObjectCommandInput>, signal?: AbortSignal) {
    const command = new PutObjectCommand({ ...this.#location(key), ...this.#encryption, ...input })
    return this.run(description, signal, (abortSignal) => this.#client.send(command, { abortSignal }))
  }

  /** @throws {StoreError} `ERR_STORE_ENTRY` if the key is too long for S3 */
  #location(key: string) {
    const name = this.#prefix + key
    if (name.length > maxObjectKeyBytes) {
      throw new StoreError(
        'ERR_STORE_ENTRY',
        `the object key of ${key} is longer than ${maxObjectKeyBytes} bytes`,
      )
    }
    return { Bucket: this.#bucket, Key: name }
  }
}
