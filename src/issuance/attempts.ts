import { LRUCache } from 'lru-cache'
import type { Validity } from '../certificates/certificate-bundle.js'
import type { CertId } from '../certificates/certificate-id.js'
import type { LiveCertificate } from '../certificates/live-certificate.js'
import { renewalPause, retryTime } from '../certificates/retry-time.js'
import { certificateKey } from '../certificates/storage-layout.js'
import { type Clock, clockSkewMs, monotonic } from '../util/clock.js'
import { IssuanceError, toError } from '../util/errors.js'
import { ignoreFailure } from '../util/safe-call.js'
import { verdictOf } from '../util/verdict.js'
import type { CaStore } from './store/ca-store.js'
import { type FailureRecord, maxRetryAt } from './store/records.js'

/** Interval between store reads for a host whose order is postponed: another machine may store a certificate first. */
const holdMs = 5_000
/** Delay after the first local failure of a host, which may be over in a moment. */
const firstLocalDelayMs = 10_000
/** Maximum number of certificates with a record in this process only; the least recently used are dropped. */
const maxLocalRecords = 1_000
/** In characters. Every machine reads the message at every attempt. */
const maxMessageLength = 2_000

/** The last failed request for a certificate. */
interface LastFailure {
  readonly id: CertId
  readonly error: Error
}

/** The error with which further requests fail, without a store read. */
interface Hold {
  readonly error: IssuanceError
  /** Monotonic milliseconds. */
  readonly until: number
}

/** A pause ends at the earlier of two times: the monotonic clock stops while the machine is suspended. */
interface RenewalPause {
  readonly serialNumber: string
  readonly attempts: number
  readonly untilMonotonic: number
  readonly until: number
}

/** An order that failed. */
interface FailedOrder {
  readonly id: CertId
  readonly error: Error
  /** The record that `check` returned before the order. */
  readonly previous: FailureRecord | undefined
  /** The certificate that the order was to renew, if it is still served. */
  readonly served: Validity | undefined
  /** Whether the CA had an order before the failure. */
  readonly hasOrdered: boolean
}

interface AttemptsParts {
  readonly store: CaStore
  readonly clock: Clock
  /** Maximum number of certificates whose last failure is known. */
  readonly max: number
  /** Called for each failure caused by the CA, by a wrong clock of this machine, or by an invalid option. */
  readonly onFailed: (failure: { host: string; error: Error }) => void
}

/**
 * Decides when a certificate may be ordered again after a failure.
 *
 * - A failed order is recorded in the store for the whole fleet. It is recorded in this process only if the store
 *   rejects the record, or if the failure concerns this machine only. Without a record, each handshake would place an
 *   order.
 * - For 5 s after a failed request, further requests fail with the same error, so that not every handshake reads the
 *   store.
 * - Renewal attempts of this process are paused after each attempt.
 */
export class Attempts {
  readonly #parts: AttemptsParts
  readonly #monotonicNow: () => number
  readonly #localRecords = new LRUCache<string, FailureRecord>({ max: maxLocalRecords })
  readonly #lastFailures: LRUCache<string, LastFailure>
  readonly #holds: LRUCache<string, Hold>
  /** The pause of each renewal, by certificate. */
  readonly #renewals: LRUCache<string, RenewalPause>

  constructor(parts: AttemptsParts) {
    this.#parts = parts
    this.#monotonicNow = monotonic(parts.clock)
    // Unlike `max`, `maxSize` does not allocate all slots in advance.
    const bound = { maxSize: parts.max, sizeCalculation: () => 1 }
    this.#lastFailures = new LRUCache(bound)
    this.#holds = new LRUCache(bound)
    this.#renewals = new LRUCache(bound)
  }

  /** @throws {IssuanceError} `ERR_ISSUANCE_POSTPONED` less than 5 s after a request that failed with a retry time */
  assertNotHeld(id: CertId): void {
    const cause = this.#heldError(id)
    if (!cause) return
    const { code, problem, retryAt } = cause
    const prefix = `the order for "${id.name}" is postponed until ${retryAt?.toISOString()}`
    const message = code === 'ERR_ISSUANCE_POSTPONED' ? cause.message : `${prefix}: ${cause.message}`
    throw new IssuanceError('ERR_ISSUANCE_POSTPONED', message, { cause, problem, retryAt })
  }

  /**
   * Resolves with the failure record of a certificate that may be ordered now; `undefined` if it has no valid record.
   * @throws {IssuanceError} `ERR_ISSUANCE_POSTPONED` before the record's `retryAt`
   * @throws {StoreError} if the record cannot be read
   */
  async check(id: CertId, signal: AbortSignal): Promise<FailureRecord | undefined> {
    const stored = this.#ignoreFuture(await this.#parts.store.readFailure(id, { signal }))
    const local = this.#ignoreFuture(this.#localRecords.peek(certificateKey(id)))
    const record = local && local.retryAt > (stored?.retryAt ?? 0) ? local : stored
    if (!record || this.#parts.clock.now() >= record.retryAt) return record
    const retryAt = new Date(record.retryAt)
    const attempts = record.failures === 1 ? '1 failed attempt' : `${record.failures} failed attempts`
    throw new IssuanceError(
      'ERR_ISSUANCE_POSTPONED',
      `the order for "${id.name}" is postponed until ${retryAt.toISOString()} after ${attempts}: ${record.message}`,
      { retryAt },
    )
  }

  /**
   * Records a failed order: for the whole fleet if the CA or the host's configuration caused the failure; for this
   * process if its clock caused it, or the store after the CA had an order. Resolves with the error to throw.
   */
  async orderFailed(order: FailedOrder): Promise<Error> {
    const { id, error, previous, hasOrdered } = order
    const { blame } = verdictOf(error)
    const onFailed = (failure: Error) => this.#parts.onFailed({ host: id.name, error: failure })
    if (blame === 'clock' || (blame === 'store' && hasOrdered)) this.#recordLocally(id, previous, error)
    // An invalid option is not recorded: nothing was ordered, and it may be corrected at any time.
    if (blame === 'clock' || (blame === 'caller' && error instanceof IssuanceError)) onFailed(error)
    if (!(error instanceof IssuanceError) || (blame !== 'ca' && blame !== 'host')) return error
    const retryAt = await this.#recordForFleet({ ...order, error })
    const options = { cause: error, problem: error.problem, retryAt }
    const recorded = new IssuanceError(error.code, error.message, options)
    onFailed(recorded)
    return recorded
  }

  /** Removes the records of a certificate that was ordered. @param previous what `check` returned */
  orderSucceeded(id: CertId, previous: FailureRecord | undefined): void {
    if (!previous) return
    this.#localRecords.delete(certificateKey(id))
    // Not awaited: storing the certificate comes first.
    void ignoreFailure(this.#parts.store.removeFailure(id), 'the store has reported it')
  }

  /** Records that a request for a certificate failed, and returns the error. */
  requestFailed(id: CertId, thrown: unknown): Error {
    const error = toError(thrown)
    const { blame, isInterrupted, refusal, notBefore } = verdictOf(error)
    if (refusal || blame === 'policy') return error
    // The lock was lost repeatedly, and each attempt may have placed an order: delay the next one.
    if (isInterrupted) this.#recordLocally(id, undefined, error)
    this.#lastFailures.set(certificateKey(id), { id, error })
    if (error instanceof IssuanceError && notBefore !== undefined && !this.#heldError(id)) {
      const ms = Math.min(notBefore - this.#parts.clock.now(), holdMs)
      this.#holds.set(certificateKey(id), { error, until: this.#monotonicNow() + ms })
    }
    return error
  }

  /** Returns the milliseconds until a kept host is looked up again: 6 hours after a refusal, else at least 1 minute. */
  delayAfter(error: Error): number {
    const { refusal, notBefore = 0 } = verdictOf(error)
    return refusal ? 6 * 3_600_000 : Math.max(notBefore - this.#parts.clock.now(), 60_000)
  }

  /** Removes this process's record, because a request for the certificate succeeded. */
  requestSucceeded(id: CertId): void {
    this.#localRecords.delete(certificateKey(id))
  }

  /**
   * Forgets the last failed request, because another certificate has entered memory. If it was just issued and is due
   * already, as with a wrong clock, pauses renewal attempts for a quarter of its lifetime: no orders in a loop.
   */
  certificateChanged(live: LiveCertificate): void {
    this.#lastFailures.delete(certificateKey(live.id))
    this.#holds.delete(certificateKey(live.id))
    if (live.source === 'acme' && live.schedule.renewAt <= this.#parts.clock.now())
      this.#pauseRenewal(live, Math.ceil((live.notAfter - live.notBefore) / 4))
  }

  /** Returns the last failed requests, the oldest first; none for a certificate that has changed since. */
  lastFailures(): LastFailure[] {
    return [...this.#lastFailures.values()].reverse()
  }

  /** Returns the earliest time of the next renewal attempt, in milliseconds since the epoch; 0 if it is not limited. */
  renewalNotBefore(live: LiveCertificate): number {
    const pause = this.#pauseOf(live)
    if (!pause) return 0
    return Math.min(pause.until, this.#parts.clock.now() + pause.untilMonotonic - this.#monotonicNow())
  }

  /** Pauses renewal attempts before one begins: for 1 minute, doubled with each attempt, up to `checkEveryMs`. */
  renewalStarted(live: LiveCertificate): void {
    const attempts = this.#pauseOf(live)?.attempts ?? 0
    this.#pauseRenewal(live, renewalPause(live, attempts, live.schedule.checkEveryMs), attempts + 1)
  }

  /** Extends the pause as the error demands. */
  renewalFailed(live: LiveCertificate, error: Error): void {
    const { blame, notBefore } = verdictOf(error)
    this.#lastFailures.set(certificateKey(live.id), { id: live.id, error })
    // A host that is no longer allowed is retried no more often than it is checked.
    if (blame === 'policy') this.#pauseRenewal(live, live.schedule.checkEveryMs)
    if (notBefore !== undefined) this.#pauseRenewal(live, notBefore - this.#parts.clock.now())
  }

  /** Never shortens a pause. */
  #pauseRenewal(live: LiveCertificate, ms: number, attempts?: number): void {
    const current = this.#pauseOf(live)
    this.#renewals.set(certificateKey(live.id), {
      serialNumber: live.serialNumber,
      attempts: attempts ?? current?.attempts ?? 0,
      untilMonotonic: Math.max(current?.untilMonotonic ?? 0, this.#monotonicNow() + ms),
      until: Math.max(current?.until ?? 0, this.#parts.clock.now() + ms),
    })
  }

  #pauseOf({ id, serialNumber }: LiveCertificate): RenewalPause | undefined {
    const pause = this.#renewals.get(certificateKey(id))
    return pause?.serialNumber === serialNumber ? pause : undefined
  }

  #heldError(id: CertId): IssuanceError | undefined {
    const hold = this.#holds.peek(certificateKey(id))
    return hold && this.#monotonicNow() < hold.until ? hold.error : undefined
  }

  /** A record from the future was written by a wrong clock, so its `retryAt` is wrong as well. */
  #ignoreFuture(record: FailureRecord | undefined): FailureRecord | undefined {
    return (record?.at ?? 0) > this.#parts.clock.now() + clockSkewMs ? undefined : record
  }

  /** Resolves with the time of the next attempt. If the store rejects the record, it stays in this process. */
  async #recordForFleet({ id, error, previous, served }: FailedOrder): Promise<Date> {
    // Once the certificate has expired, its failed renewals do not count: they were many, at short intervals.
    const failures = nextCount(previous?.renewal && !served ? undefined : previous)
    const now = this.#parts.clock.now()
    const retryAfter = verdictOf(error).notBefore
    const retryAt = Math.min(retryTime(failures, now, Math.random(), { retryAfter, served }), maxRetryAt)
    const message = error.message.slice(0, maxMessageLength)
    const record: FailureRecord = { failures, retryAt, at: now, ...(served && { renewal: true }), message }
    const key = certificateKey(id)
    this.#localRecords.set(key, record)
    const stored = this.#parts.store.writeFailure(id, record).then(() => this.#localRecords.delete(key))
    await ignoreFailure(stored, 'the store has reported it')
    return new Date(retryAt)
  }

  #recordLocally(id: CertId, previous: FailureRecord | undefined, { message }: Error): void {
    const key = certificateKey(id)
    const failures = nextCount(previous ?? this.#localRecords.peek(key))
    const now = this.#parts.clock.now()
    const retryAt = failures === 1 ? now + firstLocalDelayMs : retryTime(failures, now, Math.random())
    this.#localRecords.set(key, { failures, retryAt, at: now, message })
  }
}

const nextCount = (previous: FailureRecord | undefined) =>
  Math.min((previous?.failures ?? 0) + 1, Number.MAX_SAFE_INTEGER)
