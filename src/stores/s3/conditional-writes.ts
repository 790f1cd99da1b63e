import { randomUUID } from 'node:crypto'
import { lockKey } from '../../cache/cert-cache.js'
import { failureMessage } from '../../cache/service-errors.js'
import { StoreError } from '../../util/errors.js'
import { ignoreFailure } from '../../util/safe-call.js'
import { nameOf } from './errors.js'
import type { S3Objects } from './objects.js'

/**
 * Tests with a probe object whether the service supports the conditional writes on which locks depend. Many
 * S3-compatible services ignore the conditions, and would grant the same lock to every machine.
 *
 * Makes four requests, or one more if the service refuses a write. Returns an error if the service ignores or refuses a
 * condition, or else `undefined`. Rejects if the test fails.
 */
export async function probeConditionalWrites(objects: S3Objects): Promise<StoreError | undefined> {
  const { bucket } = objects
  const key = lockKey(`probe-${randomUUID()}`)
  let header = 'If-None-Match: *'
  try {
    await objects.writeIf(key, 'probe', { IfNoneMatch: '*' })
    if (await objects.writeIf(key, 'probe', { IfNoneMatch: '*' })) return conditionUnsupported(header, bucket)
    header = 'If-Match'
    if (await objects.writeIf(key, 'probe', { IfMatch: unusedEtag }))
      return conditionUnsupported(header, bucket)
    return undefined
  } catch (error) {
    if (!(error instanceof StoreError) || error.statusCode !== 501) throw error
    // If a write without a condition fails too, the service refuses another header, and this error says so.
    await objects.write(key, Buffer.from('probe'))
    return conditionUnsupported(header, bucket, error)
  } finally {
    void ignoreFailure(objects.remove(key), 'a probe object that stays behind is harmless')
  }
}

/** An ETag that no object has. */
const unusedEtag = `"${'0'.repeat(32)}"`

const conditionUnsupported = (header: string, bucket: string, cause?: StoreError) =>
  new StoreError(
    'ERR_STORE_FAILED',
    failureMessage(
      'hold locks',
      nameOf(bucket),
      `the service does not support the header ${header} of conditional writes, so it could grant one lock to several machines`,
      'Use a service that supports conditional writes, as AWS S3 does, or pass the manager an object with only get, put and delete of this store: each process then places its own orders.',
    ),
    { cause },
  )
