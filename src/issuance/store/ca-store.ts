import type { CacheOperationOptions, CertCache, CertCacheLock } from '../../cache/cert-cache.js'
import { type FleetWork, runOncePerFleet, waitForLock } from '../../cache/once-per-fleet.js'
import type { CertId } from '../../certificates/certificate-id.js'
import { certificateKey, entryKey, type StoreEntry } from '../../certificates/storage-layout.js'
import { type Clock, monotonic } from '../../util/clock.js'
import {
  type FailureRecord,
  parseFailureRecord,
  parseRenewalInfoRecord,
  type RenewalInfoRecord,
  shiftFailureRecord,
} from './records.js'

/** The entry of a challenge answer, which is found by the token, or for tls-alpn-01 by the name. */
export type AnswerEntry = Extract<StoreEntry, { kind: 'http-01' | 'tls-alpn-01' }>

export type AccountKeyEntry = Extract<StoreEntry, { kind: 'account key' | 'legacy account key' }>

/** A smaller difference between two clocks is ignored: the CA's `Date` has whole seconds. */
const minClockOffsetMs = 60_000

interface CaStoreOptions {
  /** Reads challenge answers, whose rate is limited elsewhere: see `MonitoredCertCache.direct`. Default: the store. */
  readonly answers?: Pick<CertCache, 'get'>
  /** Returns the CA's clock minus this machine's, in milliseconds; `undefined` if it is unknown. Default: unknown. */
  readonly clockOffsetMs?: () => number | undefined
}

/**
 * The entries of one CA in the store that the fleet shares, except the certificates, which are read through memory.
 * Methods reject with the store's error.
 *
 * Failure records have the time of the CA in the store, so that machines with different clocks agree on it. Outside of
 * this class, they have the time of this machine.
 */
export class CaStore {
  /** The CA, as the prefix of its keys. */
  readonly ca: string
  readonly #store: CertCache
  readonly #clock: Clock
  readonly #now: () => number
  /** When the store last took a write. Monotonic milliseconds. */
  #provenAt = Number.NEGATIVE_INFINITY
  readonly #answers: Pick<CertCache, 'get'>
  readonly #clockOffsetMs: () => number | undefined

  constructor(
    store: CertCache,
    ca: string,
    clock: Clock,
    { answers = store, clockOffsetMs = () => undefined }: CaStoreOptions = {},
  ) {
    this.#store = store
    this.#clockOffsetMs = clockOffsetMs
    this.#now = monotonic(clock)
    this.#answers = answers
    this.ca = ca
    this.#clock = clock
  }

  readFailure(id: CertId, options?: CacheOperationOptions): Promise<FailureRecord | undefined> {
    const parse = (data: Uint8Array) => {
      const record = parseFailureRecord(data)
      return record && shiftFailureRecord(record, -this.#offsetMs())
    }
    return this.#read({ kind: 'failure', id }, parse, options)
  }

  writeFailure(id: CertId, record: FailureRecord, options?: CacheOperationOptions): Promise<void> {
    const stored = shiftFailureRecord(record, this.#offsetMs())
    return this.#write({ kind: 'failure', id }, JSON.stringify(stored), options)
  }

  removeFailure(id: CertId, options?: CacheOperationOptions): Promise<void> {
    return this.#store.delete(entryKey({ kind: 'failure', id }), options)
  }

  readRenewalInfo(id: CertId, options?: CacheOperationOptions): Promise<RenewalInfoRecord | undefined> {
    return this.#read({ kind: 'renewal', id }, parseRenewalInfoRecord, options)
  }

  writeRenewalInfo(id: CertId, record: RenewalInfoRecord, options?: CacheOperationOptions): Promise<void> {
    return this.#write({ kind: 'renewal', id }, JSON.stringify(record), options)
  }

  /**
   * Writes a constant text, and so proves that the store takes a write: a certificate that cannot be stored must not be
   * ordered.
   * @param options.maxAgeMs relies on a write that is not older. Default: 0
   */
  async proveWritable({
    maxAgeMs = 0,
    ...options
  }: CacheOperationOptions & { maxAgeMs?: number } = {}): Promise<void> {
    if (this.#now() - this.#provenAt < maxAgeMs) return
    await this.#write(
      { kind: 'write probe', ca: this.ca },
      'the last order found this store writable\n',
      options,
    )
    this.#provenAt = this.#now()
  }

  readAnswer(entry: AnswerEntry): Promise<Uint8Array | undefined> {
    return this.#answers.get(entryKey(entry))
  }

  writeAnswer(entry: AnswerEntry, value: Uint8Array, options?: CacheOperationOptions): Promise<void> {
    return this.#store.put(entryKey(entry), value, options)
  }

  removeAnswer(entry: AnswerEntry): Promise<void> {
    return this.#store.delete(entryKey(entry))
  }

  readAccountKey(entry: AccountKeyEntry, options?: CacheOperationOptions): Promise<Uint8Array | undefined> {
    return this.#store.get(entryKey(entry), options)
  }

  writeAccountKey(pem: string, options?: CacheOperationOptions): Promise<void> {
    return this.#write({ kind: 'account key', ca: this.ca }, pem, options)
  }

  readTicketSeeds(options?: CacheOperationOptions): Promise<Uint8Array | undefined> {
    return this.#store.get(entryKey(this.#ticketSeeds()), options)
  }

  writeTicketSeeds(data: Uint8Array, options?: CacheOperationOptions): Promise<void> {
    return this.#store.put(entryKey(this.#ticketSeeds()), data, options)
  }

  /** Does work on the ticket seeds under their lock. */
  runOnceOnTicketSeeds<T>(work: Pick<FleetWork<T>, 'signal' | 'find' | 'work'>): Promise<T> {
    return this.runOnce(this.#ticketSeeds(), work)
  }

  #ticketSeeds = () => ({ kind: 'ticket seeds', ca: this.ca }) as const

  /** Does work on an entry once for the whole fleet: see `runOncePerFleet`. */
  runOnce<T>(entry: StoreEntry, work: Pick<FleetWork<T>, 'signal' | 'find' | 'work'>): Promise<T> {
    return runOncePerFleet({ store: this.#store, clock: this.#clock, name: entryKey(entry), ...work })
  }

  /** Acquires the lock of a certificate: see `waitForLock`. */
  waitForLock(id: CertId, signal: AbortSignal): Promise<CertCacheLock | undefined> {
    return waitForLock({ store: this.#store, clock: this.#clock, name: certificateKey(id), signal })
  }

  #offsetMs(): number {
    const offsetMs = Math.round(this.#clockOffsetMs() ?? 0)
    return Math.abs(offsetMs) < minClockOffsetMs ? 0 : offsetMs
  }

  async #read<T>(
    entry: StoreEntry,
    parse: (data: Uint8Array) => T,
    options?: CacheOperationOptions,
  ): Promise<T | undefined> {
    const data = await this.#store.get(entryKey(entry), options)
    return data && parse(data)
  }

  #write(entry: StoreEntry, text: string, options?: CacheOperationOptions): Promise<void> {
    return this.#store.put(entryKey(entry), Buffer.from(text), options)
  }
}
