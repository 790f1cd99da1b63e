import { randomUUID } from 'node:crypto'
import { StoreError } from '../../util/errors.js'
import type { S3Objects } from './objects.js'

/**
 * Tries on an object of its own whether the service honours the conditions that locks are made of: many that speak
 * S3 ignore them, and would give one lock to everybody. Four requests. Resolves with the error that says so, or with
 * `undefined`; rejects if it could not be told.
 */
export async function conditionsIgnored(objects: S3Objects, bucket: string): Promise<StoreError | undefined> {
  const key = `probe-${randomUUID()}+lock`
  let header = 'If-None-Match: *'
  try {
    await objects.writeIf(key, 'probe', { IfNoneMatch: '*' })
    if (await objects.writeIf(key, 'probe', { IfNoneMatch: '*' })) return ignored(header, bucket)
    header = 'If-Match'
    if (await objects.writeIf(key, 'probe', { IfMatch: noEtag })) return ignored(header, bucket)
    return undefined
  } catch (error) {
    if (error instanceof StoreError && error.statusCode === 501) return ignored(header, bucket, error)
    throw error
  } finally {
    // Not waited for: what stays behind harms nobody.
    objects.remove(key).catch(() => undefined)
  }
}

const noEtag = `"${'0'.repeat(32)}"`

const ignored = (header: string, bucket: string, cause?: StoreError) =>
  new StoreError(
    'ERR_STORE_FAILED',
    `the service of bucket ${bucket} does not honour the header ${header} of a write, so it cannot keep a lock. Use one that does (AWS S3 does), or pass only get, put and delete of this store to the manager: each process orders for itself then.`,
    { cause },
  )
