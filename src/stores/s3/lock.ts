import { randomUUID } from 'node:crypto'
import type { CertCacheLock } from '../../cache/cert-cache.js'
import { holdLease, type Lease } from '../../cache/leases/lease.js'
import { LeaseWatch } from '../../cache/leases/lease-watch.js'
import type { S3Objects, WriteCondition } from './objects.js'

/** The content of the object of a free lock. */
const released = 'released'

/**
 * Locks made of objects that are written only conditionally: created with `If-None-Match: *`; renewed, taken over and
 * released with `If-Match`. The content of each write is unique, so no ETag occurs twice.
 *
 * A released object is not deleted. Few services support conditional deletes: some ignore the condition, and some check
 * it some time before they delete. A late delete would then remove the lock of the next holder.
 */
export class S3Locks {
  readonly #objects: S3Objects
  readonly #watch = new LeaseWatch()

  constructor(objects: S3Objects) {
    this.#objects = objects
  }

  /** Acquires the lock. Returns `undefined` if another holder has it, or may still rely on it. */
  tryLock(name: string): Promise<CertCacheLock | undefined> {
    const lease = new ObjectLease(this.#objects, `${name}+lock`, (etag) => this.#watch.hasExpired(name, etag))
    return holdLease(name, lease)
  }
}

class ObjectLease implements Lease {
  readonly #id = randomUUID()
  #writeCount = 0
  /** The ETag of this holder's last write. */
  #etag: string | undefined
  readonly #objects: S3Objects
  readonly #key: string
  readonly #hasExpired: (etag: string) => boolean

  constructor(objects: S3Objects, key: string, hasExpired: (etag: string) => boolean) {
    this.#objects = objects
    this.#key = key
    this.#hasExpired = hasExpired
  }

  async acquire(): Promise<boolean> {
    const current = await this.#read()
    if (current === undefined) return this.#writeOwn({ IfNoneMatch: '*' })
    if (current.text !== released && !this.#hasExpired(current.etag)) return false
    return this.#writeOwn({ IfMatch: current.etag })
  }

  renew(): Promise<boolean> {
    return this.#writeOwn({ IfMatch: this.#etag as string })
  }

  async remove(): Promise<void> {
    if (this.#writeCount > 0)
      await this.#write(() => released, this.#etag ? { IfMatch: this.#etag } : undefined)
  }

  /** Writes this holder's id and a number that makes the content unique. */
  #writeOwn(condition: WriteCondition): Promise<boolean> {
    return this.#write(() => `${this.#id} ${++this.#writeCount}`, condition)
  }

  /**
   * Writes under the condition. If it does not hold, or there is none, writes if the current content is this holder's.
   * Returns false if neither applies.
   */
  async #write(text: () => string, condition?: WriteCondition): Promise<boolean> {
    if (condition && (await this.#writeIf(text(), condition))) return true
    // An earlier attempt, whose answer was lost, may have changed the ETag.
    const current = await this.#read()
    if (!current?.text.startsWith(this.#id)) return false
    return this.#writeIf(text(), { IfMatch: current.etag })
  }

  async #writeIf(text: string, condition: WriteCondition): Promise<boolean> {
    const etag = await this.#objects.writeIf(this.#key, text, condition)
    if (etag) this.#etag = etag
    return etag !== undefined
  }

  async #read() {
    const object = await this.#objects.read(this.#key)
    return object && { text: Buffer.from(object.data).toString('latin1'), etag: object.etag }
  }
}
