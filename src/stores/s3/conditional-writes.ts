import { randomUUID } from 'node:crypto'
import { lockKey } from '../../cache/cert-cache.js'
import { StoreError } from '../../util/errors.js'
import { ignoreFailure } from '../../util/safe-call.js'
import type { S3Objects } from './objects.js'

/**
 * Tests with a probe object whether the service honours the conditional writes on which locks depend. Many
 * S3-compatible services ignore the conditions, and would grant the same lock to every machine.
 *
 * Makes four requests. Returns an error if the service ignores a condition, or else `undefined`. Rejects if the test
 * fails.
 */
export async function probeConditionalWrites(objects: S3Objects): Promise<StoreError | undefined> {
  const { bucket } = objects
  const key = lockKey(`probe-${randomUUID()}`)
  let header = 'If-None-Match: *'
  try {
    await objects.writeIf(key, 'probe', { IfNoneMatch: '*' })
    if (await objects.writeIf(key, 'probe', { IfNoneMatch: '*' })) return conditionIgnored(header, bucket)
    header = 'If-Match'
    if (await objects.writeIf(key, 'probe', { IfMatch: unusedEtag })) return conditionIgnored(header, bucket)
    return undefined
  } catch (error) {
    if (error instanceof StoreError && error.statusCode === 501)
      return conditionIgnored(header, bucket, error)
    throw error
  } finally {
    void ignoreFailure(objects.remove(key), 'a probe object that stays behind is harmless')
  }
}

/** An ETag that no object has. */
const unusedEtag = `"${'0'.repeat(32)}"`

const conditionIgnored = (header: string, bucket: string, cause?: StoreError) =>
  new StoreError(
    'ERR_STORE_FAILED',
    `the service of bucket ${bucket} does not honour the header ${header} of a write, so it cannot keep a lock. Use one that does (AWS S3 does), or pass only get, put and delete of this store to the manager: each process orders for itself then.`,
    { cause },
  )
