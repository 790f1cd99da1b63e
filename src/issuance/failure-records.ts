import { LRUCache } from 'lru-cache'
import type { CertCache } from '../cache/cert-cache.js'
import type { StorageLayout } from '../certificates/storage-layout.js'
import { type Clock, clockSkewMs } from '../util/clock.js'
import { IssuanceError } from '../util/errors.js'

const minuteMs = 60_000
/** Delays after successive failures, as Let's Encrypt recommends: 1 min, 10 min, 100 min, then a day. */
const retryDelaysMs = [minuteMs, 10 * minuteMs, 100 * minuteMs, 1_440 * minuteMs] as const
/** Delay after the first local failure of a host, which may be over in a moment. */
const firstLocalDelayMs = 10_000
/** Number of hosts, the most recent, with a record in this process alone. */
const maxLocalRecords = 1_000
/** In characters. Every machine reads the message at every attempt. */
const maxMessageLength = 2_000
/** Latest `retryAt` of a valid record, in ms since the epoch: later than any CA's `Retry-After`. */
const maxRetryAt = Date.parse('9999-01-01')

/** The validity period of a certificate. Milliseconds since the epoch. */
export interface ValidityPeriod {
  readonly notBefore: number
  readonly notAfter: number
}

/**
 * Returns the time of the next attempt, in ms since the epoch: after 1, 10, 100 minutes, then a day, plus up to a
 * tenth, but never before the CA's `Retry-After`.
 *
 * While a certificate is still served, the delay is at most an eighth of its remaining time, but at least 15 minutes
 * (Let's Encrypt allows 5 failures per host and hour) or a 50th of its lifetime, whichever is less.
 * @param failures how many in a row, from 1
 * @param random from 0 up to 1
 * @param options.retryAfter the CA's `Retry-After`, in ms since the epoch
 * @param options.served the certificate to be renewed, if it is still served
 */
export function retryTime(
  failures: number,
  now: number,
  random: number,
  options: { retryAfter?: number | undefined; served?: ValidityPeriod | undefined } = {},
): number {
  const { retryAfter = 0, served } = options
  const standardMs = retryDelaysMs[Math.min(failures, retryDelaysMs.length) - 1] as number
  const delayMs = served ? Math.min(standardMs, renewalDelay(served, now)) : standardMs
  return Math.max(Math.round(now + delayMs * (1 + random / 10)), retryAfter)
}

function renewalDelay({ notBefore, notAfter }: ValidityPeriod, now: number): number {
  const minMs = Math.min(15 * minuteMs, (notAfter - notBefore) / 50)
  return Math.max((notAfter - now) / 8, minMs)
}

/** The failed orders of a host. Stored as JSON under `<host>+failure`. */
export interface FailureRecord {
  /** How many in a row. */
  readonly failures: number
  /** No machine places an order before this time. Milliseconds since the epoch. */
  readonly retryAt: number
  /** When the record was written, by the writer's clock. Milliseconds since the epoch. */
  readonly at?: number
  /** Whether the order was to renew a certificate that is still served. */
  readonly renewal?: boolean
  /** The error message, for operators who read the store. */
  readonly message: string
}

/**
 * Records failed orders and postpones the next ones. All machines honour a record in the store; a successful order
 * removes it. A record that the store does not take, or that concerns this machine alone, stays in this process.
 */
export class FailureRecords {
  /** Without these, each handshake would place an order while the store cannot be written. */
  readonly #localRecords = new LRUCache<string, FailureRecord>({ max: maxLocalRecords })

  private readonly store: CertCache
  private readonly layout: StorageLayout
  private readonly clock: Clock

  constructor(store: CertCache, layout: StorageLayout, clock: Clock) {
    this.store = store
    this.layout = layout
    this.clock = clock
  }

  /**
   * Resolves with the failure record of a host that may be ordered now; `undefined` if it has no valid record.
   * @throws {IssuanceError} `ERR_ISSUANCE_POSTPONED` before the record's `retryAt`
   * @throws {StoreError} if the record cannot be read
   */
  async check(host: string, signal: AbortSignal): Promise<FailureRecord | undefined> {
    const data = await this.store.get(this.layout.failure(host), { signal })
    const stored = this.#ignoreFuture(data && parseFailureRecord(data))
    const local = this.#ignoreFuture(this.#localRecords.peek(host))
    const record = local && local.retryAt > (stored?.retryAt ?? 0) ? local : stored
    if (record && this.clock.now() < record.retryAt) {
      const retryAt = new Date(record.retryAt)
      throw new IssuanceError(
        'ERR_ISSUANCE_POSTPONED',
        `no certificate for ${host} is ordered before ${retryAt.toISOString()}, after ${record.failures} failed ${record.failures === 1 ? 'attempt' : 'attempts'}: ${record.message}`,
        { retryAt },
      )
    }
    return record
  }

  /** A record from the future was written by a wrong clock, so its `retryAt` is wrong as well. */
  #ignoreFuture(record: FailureRecord | undefined): FailureRecord | undefined {
    return (record?.at ?? 0) > this.clock.now() + clockSkewMs ? undefined : record
  }

  /**
   * Records a failure for the whole fleet; resolves with the time of the next attempt. Never rejects: if the store does
   * not take the record, it stays in this process.
   * @param previous the record that `check` returned
   * @param served the certificate that the order was to renew, if it is still served
   */
  async add(
    host: string,
    previous: FailureRecord | undefined,
    error: IssuanceError,
    served: ValidityPeriod | undefined,
  ): Promise<Date> {
    // Once the certificate has expired, its failed renewals do not count: they were many, at short intervals.
    const failures = nextCount(previous?.renewal && !served ? undefined : previous)
    const retryAfter = error.retryAt?.getTime()
    const now = this.clock.now()
    const retryAt = Math.min(retryTime(failures, now, Math.random(), { retryAfter, served }), maxRetryAt)
    const message = error.message.slice(0, maxMessageLength)
    const record: FailureRecord = { failures, retryAt, at: now, ...(served && { renewal: true }), message }
    this.#localRecords.set(host, record)
    try {
      await this.store.put(this.layout.failure(host), Buffer.from(JSON.stringify(record)))
      this.#localRecords.delete(host)
    } catch {
      // The store has reported the error.
    }
    return new Date(retryAt)
  }

  /** Records a failure that the CA did not cause, such as a failed store or a wrong clock, for this process alone. */
  addLocal(host: string, previous: FailureRecord | undefined, error: Error): void {
    const failures = nextCount(previous ?? this.#localRecords.peek(host))
    const now = this.clock.now()
    const scheduledAt = retryTime(failures, now, Math.random())
    const retryAt = failures === 1 ? now + firstLocalDelayMs : scheduledAt
    this.#localRecords.set(host, { failures, retryAt, at: now, message: error.message })
  }

  /** Removes a host's record in this process, once the host has a certificate. */
  removeLocal(host: string): void {
    this.#localRecords.delete(host)
  }

  /** Removes a host's record in this process and in the store. */
  async remove(host: string): Promise<void> {
    this.removeLocal(host)
    await this.store.delete(this.layout.failure(host))
  }
}

const nextCount = (previous: FailureRecord | undefined) =>
  Math.min((previous?.failures ?? 0) + 1, Number.MAX_SAFE_INTEGER)

/** Returns `undefined` for an invalid record: a half-written one must not block a host. */
export function parseFailureRecord(data: Uint8Array): FailureRecord | undefined {
  let value: unknown
  try {
    value = JSON.parse(Buffer.from(data).toString())
  } catch {
    return undefined
  }
  const { failures, retryAt, message, at, renewal } = (value ?? {}) as Partial<
    Record<keyof FailureRecord, unknown>
  >
  if (!Number.isSafeInteger(failures) || (failures as number) < 1) return undefined
  if (!Number.isSafeInteger(retryAt) || typeof message !== 'string') return undefined
  if ((retryAt as number) < 0 || (retryAt as number) > maxRetryAt) return undefined
  return {
    failures: failures as number,
    retryAt: retryAt as number,
    ...(Number.isSafeInteger(at) && { at: at as number }),
    ...(renewal === true && { renewal }),
    message,
  }
}
