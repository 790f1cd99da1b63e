import { randomUUID } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import type { CertCacheLock } from '../../cache/cert-cache.js'
import { holdLease, type Lease, leaseMs } from '../../cache/lease.js'
import type { S3Objects, WriteCondition } from './objects.js'

/** The content of the object of a free lock. */
const released = 'released'
/** Maximum number of other holders' locks that are watched. If one is forgotten, its 30 s start again. */
const maxWatchedLocks = 1_000

/**
 * Locks made of objects that are written only conditionally: created with `If-None-Match: *`; renewed, taken over and
 * released with `If-Match`. The content of each write is unique, so no ETag occurs twice.
 *
 * A released object is not deleted. Few services support conditional deletes: some ignore the condition, and some check
 * it some time before they delete. A late delete would then remove the lock of the next holder.
 */
export class S3Locks {
  readonly #objects: S3Objects
  /**
   * The ETag of each lock that another machine holds, and when it was first seen by the monotonic clock. Clocks of
   * different machines are never compared.
   */
  readonly #watched = new LRUCache<string, { etag: string; since: number }>({ max: maxWatchedLocks })

  constructor(objects: S3Objects) {
    this.#objects = objects
  }

  /** Acquires the lock. Returns `undefined` if another holder has it, or may still rely on it. */
  tryLock(name: string): Promise<CertCacheLock | undefined> {
    const lease = new ObjectLease(this.#objects, `${name}+lock`, (etag) => this.#hasExpired(name, etag))
    return holdLease(name, lease)
  }

  /** Returns whether the lock has not been renewed for a whole lease: its holder has given up earlier. */
  #hasExpired(name: string, etag: string): boolean {
    const now = performance.now()
    const watched = this.#watched.get(name)
    if (watched?.etag === etag) return now - watched.since >= leaseMs
    // The object was written earlier than now, so its holder gives up less than one lease from now.
    this.#watched.set(name, { etag, since: now })
    return false
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
