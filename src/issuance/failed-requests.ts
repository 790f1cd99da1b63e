import { LRUCache } from 'lru-cache'
import type { CertId } from '../certificates/certificate-id.js'
import { certificateKey } from '../certificates/storage-layout.js'
import { type Clock, monotonic } from '../util/clock.js'
import { IssuanceError } from '../util/errors.js'

/** How long a failed request is shared by later ones: a certificate costs one attempt in this time. */
const holdMs = 5_000

/** The last failed request for a certificate. */
export interface LastFailure {
  readonly id: CertId
  readonly error: Error
}

/** The error with which further requests fail, without a store read. */
interface Hold {
  readonly error: Error
  /** Monotonic milliseconds. */
  readonly until: number
}

/** The last failed requests of this process, by certificate. For 5 s, further requests fail with the same error. */
export class FailedRequests {
  readonly #clock: Clock
  readonly #monotonicNow: () => number
  readonly #last: LRUCache<string, LastFailure>
  readonly #holds: LRUCache<string, Hold>

  /** @param max maximum number of certificates whose last failure is known; the least recently used are dropped */
  constructor(clock: Clock, max: number) {
    this.#clock = clock
    this.#monotonicNow = monotonic(clock)
    // Unlike `max`, `maxSize` does not allocate all slots in advance.
    const bound = { maxSize: max, sizeCalculation: () => 1 }
    this.#last = new LRUCache(bound)
    this.#holds = new LRUCache(bound)
  }

  /** @throws the error of a request that failed less than 5 s ago, or one that says when to retry */
  assertNotHeld(id: CertId): void {
    const cause = this.heldError(id)
    if (!cause) return
    if (!(cause instanceof IssuanceError) || !cause.retryAt) throw cause
    const { code, problem, retryAt } = cause
    const prefix = `the order for "${id.name}" is postponed until ${retryAt.toISOString()}`
    const message = code === 'ERR_ISSUANCE_POSTPONED' ? cause.message : `${prefix}: ${cause.message}`
    throw new IssuanceError('ERR_ISSUANCE_POSTPONED', message, { cause, problem, retryAt })
  }

  /** Returns the error of a request that failed less than 5 s ago. */
  heldError(id: CertId): Error | undefined {
    const hold = this.#holds.peek(certificateKey(id))
    return hold && this.#monotonicNow() < hold.until ? hold.error : undefined
  }

  /** @param notBefore the time from which a new request may succeed, in milliseconds since the epoch */
  add(id: CertId, error: Error, notBefore: number = Number.POSITIVE_INFINITY): void {
    this.setLast(id, error)
    if (this.heldError(id)) return
    const ms = Math.min(notBefore - this.#clock.now(), holdMs)
    this.#holds.set(certificateKey(id), { error, until: this.#monotonicNow() + ms })
  }

  /** Replaces the last failure, and holds no request. */
  setLast(id: CertId, error: Error): void {
    this.#last.set(certificateKey(id), { id, error })
  }

  remove(id: CertId): void {
    this.#last.delete(certificateKey(id))
    this.#holds.delete(certificateKey(id))
  }

  /** Returns the last failures, the oldest first. */
  list(): LastFailure[] {
    return [...this.#last.values()].reverse()
  }
}
