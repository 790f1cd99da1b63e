import { LRUCache } from 'lru-cache'
import type { CertCache } from '../cache/cert-cache.js'
import type { StorageLayout } from '../certificates/storage-layout.js'
import { type Clock, clockSkewMs } from '../util/clock.js'
import { IssuanceError } from '../util/errors.js'

const minute = 60_000
/** Let's Encrypt's own schedule: 1 min, 10 min, 100 min, then daily. */
const schedule = [minute, 10 * minute, 100 * minute, 1_440 * minute] as const
/** After the store's first failure in the midst of an order: it may have been for a moment. */
const firstHoldMs = 10_000
/** Of how many hosts, the latest, a process remembers what the store did not take. */
const mostHeld = 1_000
/** In characters: every machine reads it at every attempt. */
const longestMessage = 2_000
/** Beyond what any CA asks for. */
const latestRetry = Date.parse('9999-01-01')

/** A certificate that is still served. Milliseconds since the epoch. */
export interface Lifetime {
  readonly notBefore: number
  readonly notAfter: number
}

/**
 * When to try again after the n-th failure in a row, from 1: never before the CA's `Retry-After`. While there is a
 * certificate to be replaced, sooner the nearer its end is: after an 8th of what is left, down to 15 minutes
 * (Let's Encrypt allows 5 failures per host and hour), or a 50th of a lifetime that is shorter.
 */
export function retryTime(
  failures: number,
  now: number,
  random: number,
  { retryAfter = 0, served }: { retryAfter?: number | undefined; served?: Lifetime | undefined } = {},
): number {
  const usual = schedule[Math.min(failures, schedule.length) - 1] as number
  const shortest = served ? Math.min(15 * minute, (served.notAfter - served.notBefore) / 50) : usual
  const wait = served ? Math.min(usual, Math.max((served.notAfter - now) / 8, shortest)) : usual
  return Math.max(Math.round(now + wait * (1 + random / 10)), retryAfter)
}

/** A host's failed issuances, as stored under `<host>+failure`, in JSON. */
export interface FailureRecord {
  /** How many in a row. */
  readonly failures: number
  /** Milliseconds since the epoch. */
  readonly retryAt: number
  /** When this was written, by the clock of the machine that did. Milliseconds since the epoch. */
  readonly at?: number
  /** There was a certificate to be replaced, which went on to be served. */
  readonly renewal?: boolean
  /** For whoever reads the container. */
  readonly message: string
}

/** The fleet's memory of failed issuances: every machine honours it, a success removes it. */
export class FailureRecords {
  /** What is not in the store: a store that takes nothing must not let each handshake order. */
  readonly #held = new LRUCache<string, FailureRecord>({ max: mostHeld })

  private readonly store: CertCache
  private readonly layout: StorageLayout
  private readonly clock: Clock

  constructor(store: CertCache, layout: StorageLayout, clock: Clock) {
    this.store = store
    this.layout = layout
    this.clock = clock
  }

  /**
   * The record of a host that may be tried now; `undefined` if there is none, or none that can be read.
   * @throws {IssuanceError} `ERR_ISSUANCE_POSTPONED` if it is too early
   */
  async check(host: string, signal: AbortSignal): Promise<FailureRecord | undefined> {
    const data = await this.store.get(this.layout.failure(host), { signal })
    const stored = this.#unlessAhead(data && parseFailureRecord(data))
    const held = this.#unlessAhead(this.#held.get(host))
    const record = held && held.retryAt > (stored?.retryAt ?? 0) ? held : stored
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

  /** The clock by which it was written was wrong, and with it the time until which nobody is to try. */
  #unlessAhead(record: FailureRecord | undefined): FailureRecord | undefined {
    return (record?.at ?? 0) > this.clock.now() + clockSkewMs ? undefined : record
  }

  /**
   * Records one more failure of the CA's; returns when the next attempt may be made. Never rejects: what the store
   * does not take is remembered here.
   * @param served what the order was to replace, if that is still served
   */
  async add(
    host: string,
    before: FailureRecord | undefined,
    error: IssuanceError,
    served: Lifetime | undefined,
  ): Promise<Date> {
    // Without a certificate begins another schedule: the many attempts to replace one in time don't count.
    const failures = oneMore(before?.renewal && !served ? undefined : before)
    const retryAfter = error.retryAt?.getTime()
    const now = this.clock.now()
    const wanted = retryTime(failures, now, Math.random(), { retryAfter, served })
    // What would not be read back would postpone nothing.
    const retryAt = Math.min(wanted, latestRetry)
    const message = error.message.slice(0, longestMessage)
    const record: FailureRecord = { failures, retryAt, at: now, ...(served && { renewal: true }), message }
    this.#held.set(host, record)
    try {
      await this.store.put(this.layout.failure(host), Buffer.from(JSON.stringify(record)))
      this.#held.delete(host)
    } catch {
      // A guarded store has reported it.
    }
    return new Date(retryAt)
  }

  /** Remembers, in this process alone, what says nothing of the CA: a store that failed in the midst of an order, a wrong clock. */
  hold(host: string, before: FailureRecord | undefined, error: Error): void {
    const failures = oneMore(before ?? this.#held.get(host))
    const now = this.clock.now()
    const usual = retryTime(failures, now, Math.random())
    const retryAt = failures === 1 ? now + firstHoldMs : usual
    this.#held.set(host, { failures, retryAt, at: now, message: error.message })
  }

  /** What this process remembers alone is over: the host has a certificate. */
  forget(host: string): void {
    this.#held.delete(host)
  }

  async remove(host: string): Promise<void> {
    this.forget(host)
    await this.store.delete(this.layout.failure(host))
  }
}

const oneMore = (before: FailureRecord | undefined) =>
  Math.min((before?.failures ?? 0) + 1, Number.MAX_SAFE_INTEGER)

/** `undefined` for anything else: a half-written record must not block a host. */
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
  if ((retryAt as number) < 0 || (retryAt as number) > latestRetry) return undefined
  return {
    failures: failures as number,
    retryAt: retryAt as number,
    ...(Number.isSafeInteger(at) && { at: at as number }),
    ...(renewal === true && { renewal }),
    message,
  }
}
