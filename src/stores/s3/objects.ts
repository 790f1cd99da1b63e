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
import { systemClock } from '../../util/clock.js'
import { withDeadline } from '../../util/deadline.js'
import { StoreError } from '../../util/errors.js'
import { toStoreError } from './errors.js'

/** What is used of the SDK's `S3Client`, so that no version of the SDK is required to be the same one. */
export interface S3ClientLike {
  send(command: never, options?: { abortSignal?: AbortSignal }): Promise<unknown>
}

export interface StoredObject {
  data: Uint8Array
  etag: string
}

/** https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html */
/** One page of a listing. */
export interface ListedPage {
  readonly objects: readonly { readonly name: string; readonly size: number; readonly modified: Date }[]
  /** The token of the next page, if there is one. */
  readonly next: string | undefined
}

export type WriteCondition = { IfNoneMatch: '*' } | { IfMatch: string }

/** The longest object key, in bytes: https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html */
const longestObjectKey = 1_024

/** The objects behind a prefix of a bucket: one request per call, under the time-out, with errors of ours. */
export class S3Objects {
  readonly #client: S3Client
  readonly #bucket: string
  readonly #prefix: string
  readonly #timeoutMs: number
  readonly #encryption: Pick<PutObjectCommandInput, 'ServerSideEncryption'>

  constructor(
    client: S3ClientLike,
    bucket: string,
    options: { prefix: string; timeoutMs: number; serverSideEncryption: 'AES256' | 'aws:kms' | 'none' },
  ) {
    this.#client = client as S3Client
    this.#bucket = bucket
    this.#prefix = options.prefix
    this.#timeoutMs = options.timeoutMs
    const encryption = options.serverSideEncryption
    this.#encryption = encryption === 'none' ? {} : { ServerSideEncryption: encryption }
  }

  async read(key: string, signal?: AbortSignal): Promise<StoredObject | undefined> {
    const at = this.#at(key)
    return this.#run(`read ${key}`, signal, async (abortSignal) => {
      const { Body, ETag, ContentLength } = await this.#client.send(new GetObjectCommand(at), { abortSignal })
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

  /** Resolves with the new ETag, or with `undefined` if the condition did not hold. */
  async writeIf(key: string, text: string, condition: WriteCondition): Promise<string | undefined> {
    const input = { Body: Buffer.from(text), ContentType: 'text/plain', ...condition }
    try {
      const answer = await this.#put(`write ${key}`, key, input)
      if (!answer) return undefined
      if (answer.ETag) return answer.ETag
    } catch (error) {
      // 409: a write of somebody else was under way.
      const status = error instanceof StoreError ? error.statusCode : undefined
      if (status === 409 || status === 412) return undefined
      throw error
    }
    throw new StoreError('ERR_STORE_FAILED', `S3 wrote ${key} in bucket ${this.#bucket} but named no ETag`)
  }

  async remove(key: string, signal?: AbortSignal): Promise<void> {
    const command = new DeleteObjectCommand(this.#at(key))
    await this.#run(`delete ${key}`, signal, (abortSignal) => this.#client.send(command, { abortSignal }))
  }

  /** One page of what is directly behind the prefix. */
  async page(token: string | undefined, signal?: AbortSignal): Promise<ListedPage> {
    // Without EncodingType the names come as they are: services differ in how they encode + and space. With the
    // delimiter, somebody else's folders (no key has a slash) cost no page.
    const command = new ListObjectsV2Command({
      Bucket: this.#bucket,
      Prefix: this.#prefix,
      Delimiter: '/',
      ContinuationToken: token,
    })
    const page = await this.#run('list the objects', signal, (abortSignal) =>
      this.#client.send(command, { abortSignal }),
    )
    const objects = (page?.Contents ?? []).map(({ Key = '', Size = 0, LastModified = new Date(0) }) => ({
      name: Key.slice(this.#prefix.length),
      size: Size,
      modified: LastModified,
    }))
    return { objects, next: page?.IsTruncated ? page.NextContinuationToken : undefined }
  }

  #put(what: string, key: string, input: Partial<PutObjectCommandInput>, signal?: AbortSignal) {
    const command = new PutObjectCommand({ ...this.#at(key), ...this.#encryption, ...input })
    return this.#run(what, signal, (abortSignal) => this.#client.send(command, { abortSignal }))
  }

  #at(key: string) {
    const name = this.#prefix + key
    if (name.length > longestObjectKey) {
      throw new StoreError(
        'ERR_STORE_ENTRY',
        `the object key of ${key} is longer than ${longestObjectKey} bytes`,
      )
    }
    return { Bucket: this.#bucket, Key: name }
  }

  /** Under the time-out. */
  inTime<T>(
    what: string,
    signal: AbortSignal | undefined,
    work: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const timeout = () =>
      new StoreError(
        'ERR_STORE_TIMEOUT',
        `S3 took longer than ${this.#timeoutMs} ms to ${what} in bucket ${this.#bucket}`,
      )
    return withDeadline(work, { ms: this.#timeoutMs, clock: systemClock, error: timeout, signal })
  }

  /** Under the time-out, with the SDK's errors turned into ours; `undefined` if there is no such object. */
  async #run<T>(
    what: string,
    signal: AbortSignal | undefined,
    operation: (signal: AbortSignal) => Promise<T>,
  ): Promise<T | undefined> {
    try {
      return await this.inTime(what, signal, operation)
    } catch (thrown) {
      if (signal?.aborted || thrown instanceof StoreError) throw thrown
      const error = toStoreError(thrown, what, this.#bucket)
      if (error === 'NoSuchKey') return undefined
      throw error
    }
  }
}
