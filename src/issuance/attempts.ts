import { LRUCache } from 'lru-cache'
import type { Validity } from '../certificates/certificate-bundle.js'
import type { CertId } from '../certificates/certificate-id.js'
import type { LiveCertificate } from '../certificates/live-certificate.js'
import {
  earlyPause,
  localRetryDelay,
  maxEarlyPauseMs,
  maxRetryAfterMs,
  retryTime,
} from '../certificates/retry-time.js'
import { certificateKey } from '../certificates/storage-layout.js'
import { type Clock, clockSkewMs } from '../util/clock.js'
import { ClosedError, IssuanceError, toError } from '../util/errors.js'
import { ignoreFailure } from '../util/safe-call.js'
import { verdictOf } from '../util/verdict.js'
import { isClockWrong } from './clock-check.js'
import { FailedRequests, type LastFailure } from './failed-requests.js'
import { ProcessHold } from './process-hold.js'
import { RenewalPauses } from './renewal-pauses.js'
import type { CaStore } from './store/ca-store.js'
import type { FailureRecord } from './store/records.js'

/** Longest time for which this process relies on a record without reading it again. */
const maxRecordAgeMs = 3_600_000
/** Maximum number of certificates with a record in this process only; the least recently used are dropped. */
const maxLocalRecords = 1_000
/** In characters. Every machine reads the message at every attempt. */
const maxMessageLength = 2_000

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
  /** Called for each failed order, except if the store or a lost lock caused the failure. */
  readonly onFailed: (failure: { host: string; error: Error }) => void
}

/**
 * Decides when a certificate may be ordered again after a failure. How far a failure reaches depends on who caused it
 * (see `verdictOf`):
 *
 * - The CA's answers, about itself or about the host, are recorded in the store: they postpone the host's orders on all
 *   machines. The record stays in this process if the store rejects it.
 * - What never reached the CA, a refused account, and a new certificate that is invalid by this machine's clock postpone
 *   all orders of this process: see {@link ProcessHold}. Nothing is stored. A wrong clock that `ClockCheck` finds
 *   before an order postpones nothing else.
 * - A failure of the store after an order, a lost lock, or challenges that this process cannot answer postpone the host's
 *   orders in this process.
 * - After any failed request, further requests for the host fail with the same error for 5 s, so that not every
 *   handshake reads the store.
 */
export class Attempts {
  readonly #parts: AttemptsParts
  readonly #processHold: ProcessHold
  readonly #renewalPauses: RenewalPauses
  /** Records that the store has rejected. */
  readonly #unstoredRecords = new LRUCache<string, FailureRecord>({ max: maxLocalRecords })
  /** Failures of the store and lost locks. They only delay: the count of the CA's failures does not include them. */
  readonly #localRecords = new LRUCache<string, FailureRecord>({ max: maxLocalRecords })
  readonly #failedRequests: FailedRequests

  constructor(parts: AttemptsParts) {
    const { clock, max } = parts
    this.#parts = parts
    this.#processHold = new ProcessHold(clock)
    this.#renewalPauses = new RenewalPauses(clock, max)
    this.#failedRequests = new FailedRequests(clock, max)
  }

  /** @throws the error of a request for the certificate that failed less than 5 s ago, or one that says when to retry */
  assertNotHeld(id: CertId): void {
    this.#failedRequests.assertNotHeld(id)
  }

  /**
   * Resolves with the failure record of a certificate that may be ordered now; `undefined` if it has no valid record.
   * @param isRenewal whether a certificate is still served
   * @throws {IssuanceError} `ERR_ISSUANCE_POSTPONED` before the record's `retryAt`, or while this process places no order
   * @throws {StoreError} if the record cannot be read
   */
  async check(id: CertId, signal: AbortSignal, isRenewal = false): Promise<FailureRecord | undefined> {
    this.#processHold.assertNotHeld(id.name)
    return this.checkRecords(id, signal, isRenewal)
  }

  /** As {@link check}, also while this process places no order. For the wait for another machine's order. */
  async checkRecords(id: CertId, signal: AbortSignal, isRenewal = false): Promise<FailureRecord | undefined> {
    const key = certificateKey(id)
    const stored = this.#validate(await this.#parts.store.readFailure(id, { signal }))
    const record = laterOf(stored, this.#validate(this.#unstoredRecords.peek(key)))
    const delaying = record?.early && !isRenewal ? undefined : record
    const latest = laterOf(delaying, this.#validate(this.#localRecords.peek(key)))
    if (latest && this.#parts.clock.now() < latest.retryAt) throw postponedError(id, latest)
    return record
  }

  /** Records a failed order, as far as its cause reaches. Resolves with the error to throw. */
  async orderFailed(order: FailedOrder): Promise<Error> {
    const { id, error, hasOrdered } = order
    const { blame, scope } = verdictOf(error)
    if (blame === 'store' && hasOrdered) this.#recordLocally(id, error)
    if (!(error instanceof IssuanceError)) return error
    const report = (retryAt: Date | undefined) => {
      const { code, message, problem } = error
      const reported = retryAt ? new IssuanceError(code, message, { cause: error, problem, retryAt }) : error
      this.#parts.onFailed({ host: id.name, error: reported })
      return reported
    }
    // The CA's clock is compared before each order: only a certificate that was ordered in vain counts.
    if (blame === 'process' || (blame === 'clock' && hasOrdered))
      return report(scope === 'account' ? this.#processHold.failed(error) : this.#recordLocally(id, error))
    // An invalid option is not recorded: nothing was ordered, and it may be corrected at any time.
    if (blame !== 'ca' && blame !== 'host') return report(undefined)
    return report(await this.#recordForFleet({ ...order, error }))
  }

  /**
   * Removes the records of a certificate that was ordered. If it is due within a quarter of its lifetime, postpones the
   * next order of the fleet by that time: the clock of every machine may be ahead. Never rejects.
   * @param order.previousFailure what `check` returned
   * @param order.wasRefused whether {@link putRefused} was called for the certificate
   * @param order.clockOffsetMs the CA's clock minus this machine's, if it is known. If this clock is wrong, a certificate
   *   that is due soon by it alone postpones no other machine: their clocks are compared before each renewal, too.
   * @param signal aborts when the fleet's lock is lost: another machine may have written a newer record
   */
  async orderSucceeded(
    live: LiveCertificate,
    order: {
      previousFailure: FailureRecord | undefined
      wasRefused?: boolean
      clockOffsetMs?: number | undefined
    },
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const { store, clock } = this.#parts
    const { id } = live
    this.requestSucceeded(id)
    if (signal?.aborted) return
    const now = clock.now()
    const { clockOffsetMs } = order
    const isEarly = isDueEarly(live, isClockWrong(clockOffsetMs) ? now + clockOffsetMs : now)
    if (!isEarly && !order.previousFailure && !order.wasRefused) return
    const message =
      'the certificate was due for renewal soon after it was issued. Check the clocks of all machines.'
    const retryAt = Math.ceil(now + earlyPause(live))
    const record = { failures: 1, retryAt, at: now, renewal: true, early: true, message }
    const update = isEarly ? store.writeFailure(id, record, { signal }) : store.removeFailure(id, { signal })
    await ignoreFailure(update, 'the store has reported it')
  }

  /**
   * Records that the store refuses to replace the certificate, so that the other machines order none meanwhile. Never
   * rejects.
   */
  async putRefused({ id }: LiveCertificate, { message }: Error): Promise<void> {
    const error = new IssuanceError('ERR_ISSUANCE_FAILED', `the new certificate cannot be stored: ${message}`)
    const previous = await this.#parts.store.readFailure(id).catch(() => undefined) // the store has reported it
    await this.#recordForFleet({ id, error, previous, served: undefined })
  }

  /** Records that a request for a certificate failed, and returns the error. */
  requestFailed(id: CertId, thrown: unknown): Error {
    const error = toError(thrown)
    const { blame, isInterrupted, refusal, notBefore } = verdictOf(error)
    if (refusal || blame === 'policy' || error instanceof ClosedError) return error
    if (error === this.#failedRequests.heldError(id)) return error
    // The lock was lost repeatedly, and each attempt may have placed an order: delay the next one.
    if (isInterrupted) this.#recordLocally(id, error)
    this.#failedRequests.add(id, error, notBefore)
    return error
  }

  /** Returns the milliseconds until a kept host is looked up again: 6 hours after a refusal, else 1 minute to 1 hour. */
  delayAfter(error: Error): number {
    const { refusal, notBefore = 0 } = verdictOf(error)
    if (refusal) return 6 * 3_600_000
    return Math.min(Math.max(notBefore - this.#parts.clock.now(), 60_000), maxRecordAgeMs)
  }

  /** Removes this process's records, because a request for the certificate succeeded. */
  requestSucceeded(id: CertId): void {
    for (const records of [this.#unstoredRecords, this.#localRecords]) records.delete(certificateKey(id))
  }

  /**
   * Forgets the last failed request, because another certificate has entered memory. If it was just issued and is due
   * within a quarter of its lifetime, as with a wrong clock, pauses renewal attempts for that time: no orders in a loop.
   */
  certificateChanged(live: LiveCertificate): void {
    this.#failedRequests.remove(live.id)
    if (live.source !== 'acme') return
    this.#processHold.end()
    if (isDueEarly(live, this.#parts.clock.now())) this.#renewalPauses.extend(live, earlyPause(live))
  }

  /** Returns the last failed requests, the oldest first; none for a certificate that has changed since. */
  lastFailures(): LastFailure[] {
    return this.#failedRequests.list()
  }

  /** Returns the earliest time of the next renewal attempt, in milliseconds since the epoch; 0 if it is not limited. */
  renewalNotBefore(live: LiveCertificate): number {
    return this.#renewalPauses.endOf(live)
  }

  /** Pauses renewal attempts before one begins: for 1 minute, doubled with each attempt, up to `checkEveryMs`. */
  renewalStarted(live: LiveCertificate): void {
    this.#renewalPauses.startAttempt(live)
  }

  /** Extends the pause as the error demands, up to `checkEveryMs`: then the record is read again. */
  renewalFailed(live: LiveCertificate, error: Error): void {
    const { blame, notBefore } = verdictOf(error)
    const { checkEveryMs } = live.schedule
    this.#failedRequests.setLast(live.id, error)
    // A host that is no longer allowed is retried no more often than it is checked.
    if (blame === 'policy') this.#renewalPauses.extend(live, checkEveryMs)
    if (notBefore !== undefined)
      this.#renewalPauses.extend(live, Math.min(notBefore - this.#parts.clock.now(), checkEveryMs))
  }

  /**
   * Returns a record whose `retryAt` is not further from its time than any that this version writes. A record from the
   * future was written by a wrong clock: its `retryAt` is wrong as well.
   */
  #validate(record: FailureRecord | undefined): FailureRecord | undefined {
    if (!record) return undefined
    const now = this.#parts.clock.now()
    const { at, retryAt, early } = record
    const maxDelayMs = early ? maxEarlyPauseMs : maxRetryAfterMs * 1.1
    if (at === undefined) return retryAt > now + maxDelayMs ? undefined : record
    return at > now + clockSkewMs ? undefined : { ...record, retryAt: Math.min(retryAt, at + maxDelayMs) }
  }

  /** Resolves with the time of the next attempt. If the store rejects the record, it stays in this process. */
  async #recordForFleet(order: Omit<FailedOrder, 'hasOrdered'> & { error: IssuanceError }): Promise<Date> {
    const { id, error, previous, served } = order
    // Once the certificate has expired, its failed renewals do not count: they were many, at short intervals.
    const failures = nextCount(previous?.renewal && !served ? undefined : previous)
    const now = this.#parts.clock.now()
    const retryAfter = verdictOf(error).notBefore
    const retryAt = retryTime(failures, now, Math.random(), { retryAfter, served })
    const { problem } = error
    const record: FailureRecord = {
      failures,
      retryAt,
      at: now,
      ...(served && { renewal: true }),
      ...(problem && { problem }),
      message: error.message.slice(0, maxMessageLength),
    }
    const key = certificateKey(id)
    this.#unstoredRecords.set(key, record)
    const stored = this.#parts.store.writeFailure(id, record).then(() => this.#unstoredRecords.delete(key))
    await ignoreFailure(stored, 'the store has reported it')
    return new Date(retryAt)
  }

  /** Returns the time of the next attempt. */
  #recordLocally(id: CertId, { message }: Error): Date {
    const key = certificateKey(id)
    const failures = nextCount(this.#localRecords.peek(key))
    const now = this.#parts.clock.now()
    const retryAt = now + localRetryDelay(failures)
    this.#localRecords.set(key, { failures, retryAt, at: now, message })
    return new Date(retryAt)
  }
}

const isDueEarly = (live: LiveCertificate, now: number) => live.schedule.renewAt < now + earlyPause(live)

const nextCount = (previous: FailureRecord | undefined) =>
  Math.min((previous?.early ? 0 : (previous?.failures ?? 0)) + 1, Number.MAX_SAFE_INTEGER)

/** Returns the record with the later `retryAt`. */
const laterOf = (first: FailureRecord | undefined, second: FailureRecord | undefined) =>
  second && second.retryAt > (first?.retryAt ?? 0) ? second : first

function postponedError({ name }: CertId, record: FailureRecord): IssuanceError {
  const { failures, early, message, problem } = record
  const retryAt = new Date(record.retryAt)
  const attempts = failures === 1 ? '1 failed attempt' : `${failures} failed attempts`
  const reason = early ? '' : ` after ${attempts}`
  const text = `the order for "${name}" is postponed until ${retryAt.toISOString()}${reason}: ${message}`
  return new IssuanceError('ERR_ISSUANCE_POSTPONED', text, { problem, retryAt })
}
