import { randomUUID } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import type { CertCacheLock } from '../../cache/cert-cache.js'
import { holdLease, type Lease, leaseMs } from '../../cache/lease.js'
import type { S3Objects, WriteCondition } from './objects.js'

/** What a lock's object says while nobody holds it. */
const released = 'released'
/** Names that are watched at once. One that is forgotten is taken over a lease later. */
const watchedNames = 1_000

/**
 * Locks as objects that are only ever written under a condition: created with `If-None-Match: *`, renewed, taken
 * over and given back with `If-Match`. Each holder's write is unlike any other, so that no ETag comes twice.
 *
 * They are not deleted. Few services know a condition for deleting, some ignore it, some check it some time before
 * they delete; and a deletion that comes late takes the lock from whoever has it by then.
 */
export class S3Locks {
  readonly #objects: S3Objects
  /** By name: what was there, and since when by this machine's monotonic clock. No two clocks are compared. */
  readonly #watched = new LRUCache<string, { etag: string; since: number }>({ max: watchedNames })

  constructor(objects: S3Objects) {
    this.#objects = objects
  }

  /** `undefined` if somebody else holds it, or may still believe so. */
  tryLock(name: string): Promise<CertCacheLock | undefined> {
    const lease = new ObjectLease(this.#objects, `${name}+lock`, (etag) => this.#isOver(name, etag))
    return holdLease(name, lease)
  }

  /** Whether a lock has not been renewed for a lease's time: its holder has given up before. */
  #isOver(name: string, etag: string): boolean {
    const now = performance.now()
    const watched = this.#watched.get(name)
    if (watched?.etag === etag) return now - watched.since >= leaseMs
    // It was written before now, so its holder gives up before a lease's time from now.
    this.#watched.set(name, { etag, since: now })
    return false
  }
}

class ObjectLease implements Lease {
  readonly #id = randomUUID()
  #writes = 0
  /** Of what this holder has written last. */
  #etag: string | undefined
  readonly #objects: S3Objects
  readonly #key: string
  readonly #isOver: (etag: string) => boolean

  constructor(objects: S3Objects, key: string, isOver: (etag: string) => boolean) {
    this.#objects = objects
    this.#key = key
    this.#isOver = isOver
  }

  async acquire(): Promise<boolean> {
    const there = await this.#read()
    if (there === undefined) return this.#hold({ IfNoneMatch: '*' })
    if (there.text !== released && !this.#isOver(there.etag)) return false
    return this.#hold({ IfMatch: there.etag })
  }

  renew(): Promise<boolean> {
    return this.#hold({ IfMatch: this.#etag as string })
  }

  async remove(): Promise<void> {
    if (this.#writes > 0) await this.#write(() => released, this.#etag ? { IfMatch: this.#etag } : undefined)
  }

  #hold(condition: WriteCondition): Promise<boolean> {
    return this.#write(() => `${this.#id} ${++this.#writes}`, condition)
  }

  /** Without a condition: if what is there is this holder's. */
  async #write(text: () => string, condition?: WriteCondition): Promise<boolean> {
    if (condition && (await this.#writeIf(text(), condition))) return true
    // What was refused may have been done before, by an attempt whose answer was lost.
    const there = await this.#read()
    if (!there?.text.startsWith(this.#id)) return false
    return this.#writeIf(text(), { IfMatch: there.etag })
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
