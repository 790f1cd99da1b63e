import { randomUUID } from 'node:crypto'
import { lockKey } from '../../cache/cert-cache.js'
import type { Lease } from '../../cache/leases/lease.js'
import type { LeaseWatch } from '../../cache/leases/lease-watch.js'
import type { S3Objects, WriteCondition } from './objects.js'

/** The content of the object of a free lock. */
const released = 'released'

/**
 * Returns a lease on the object `<name>+lock`, which is written only conditionally: created with `If-None-Match: *`;
 * renewed, taken over and released with `If-Match`. The content of each write is unique, so no ETag occurs twice.
 *
 * A released object is not deleted. Few services support conditional deletes: some ignore the condition, and some check
 * it some time before they delete. A late delete would then remove the lock of the next holder.
 */
export function createLease(objects: S3Objects, name: string, watch: LeaseWatch): Lease {
  const key = lockKey(name)
  const id = randomUUID()
  let writeCount = 0
  let lastEtag: string | undefined

  const read = async () => {
    const object = await objects.read(key)
    return object && { text: Buffer.from(object.data).toString('latin1'), etag: object.etag }
  }
  const writeIf = async (text: string, condition: WriteCondition) => {
    const etag = await objects.writeIf(key, text, condition)
    if (etag) lastEtag = etag
    return etag !== undefined
  }
  /**
   * Writes under the condition. If it does not hold, or there is none, writes if the current content is this holder's.
   * Returns false if neither applies.
   */
  const write = async (text: () => string, condition?: WriteCondition) => {
    if (condition && (await writeIf(text(), condition))) return true
    // An earlier attempt, whose answer was lost, may have changed the ETag.
    const current = await read()
    if (!current?.text.startsWith(id)) return false
    return writeIf(text(), { IfMatch: current.etag })
  }
  /** Writes this holder's id and a number that makes the content unique. */
  const writeOwn = (condition: WriteCondition) => write(() => `${id} ${++writeCount}`, condition)

  return {
    async acquire() {
      const current = await read()
      if (current === undefined) return writeOwn({ IfNoneMatch: '*' })
      if (current.text !== released && !watch.hasExpired(name, current.etag)) return false
      return writeOwn({ IfMatch: current.etag })
    },
    renew: () => writeOwn({ IfMatch: lastEtag as string }),
    async remove() {
      if (writeCount > 0) await write(() => released, lastEtag ? { IfMatch: lastEtag } : undefined)
    },
  }
}
