import type { Issuer } from '../acme/issuer.js'
import type { LiveCertificate } from '../certificates/live-certificate.js'
import type { RenewalWindow } from '../certificates/renewal-time.js'
import { type Clock, monotonic } from '../util/clock.js'
import { ClosedError, toError } from '../util/errors.js'
import { verdictOf } from '../util/verdict.js'
import type { CaStore } from './store/ca-store.js'
import type { RenewalInfoRecord } from './store/records.js'

const hourMs = 3_600_000
/** Polling interval without a `Retry-After`, and after an error (RFC 9773 section 4.3.3). */
const defaultIntervalMs = 6 * hourMs
/** Bounds of the polling interval, as RFC 9773 section 4.3.2 recommends. */
const minIntervalMs = 60_000
const maxIntervalMs = 24 * hourMs
/** How long this process does not ask after a request that the CA did not answer: the cause may be this machine alone. */
const pauseMs = 60_000

interface RenewalInfoRecordsParts {
  readonly store: CaStore
  readonly clock: Clock
  /** Aborts when the manager is closed. */
  readonly closing: AbortSignal
  readonly issuer: Pick<Issuer, 'renewalInfo'>
}

/**
 * Reads the CA's suggested renewal windows (RFC 9773). One machine asks the CA and stores the answer for all. A request
 * without an answer is not stored.
 */
export class RenewalInfoRecords {
  readonly #parts: RenewalInfoRecordsParts
  readonly #monotonicNow: () => number
  #pausedUntil = 0

  constructor(parts: RenewalInfoRecordsParts) {
    this.#parts = parts
    this.#monotonicNow = monotonic(parts.clock)
  }

  /**
   * Resolves with the suggested window of a certificate; `undefined` if there is none. Asks the CA if the stored
   * record is missing or out of date.
   * @throws {StoreError} if a store operation fails
   */
  async renewalWindow(live: LiveCertificate): Promise<RenewalWindow | undefined> {
    const { store, clock, closing: signal } = this.#parts
    const { id, notBefore, notAfter } = live
    // Prevents an endless series of orders from a CA that suggests a past window for each new certificate.
    if (clock.now() < notBefore + Math.min(defaultIntervalMs, (notAfter - notBefore) / 50)) return undefined
    // The previous window remains in effect; without one the certificate's lifetime decides.
    let window: RenewalWindow | null = null
    const find = async () => {
      const record = await store.readRenewalInfo(id, { signal })
      const isPrevious = record?.serialNumber === live.serialNumber
      window = isPrevious ? record.window : null
      const now = clock.now()
      // A record beyond the longest interval was written by a wrong clock.
      return isPrevious && now < record.askAt && record.askAt <= now + maxIntervalMs ? { window } : undefined
    }
    const work = async () => {
      const value = await this.#askCa(live, window)
      if (value) await store.writeRenewalInfo(id, value, { signal })
      return { value: value ?? { window } }
    }
    const isPaused = () => this.#monotonicNow() < this.#pausedUntil
    const record =
      (await find()) ??
      (isPaused() ? { window } : await store.runOnce({ kind: 'renewal', id }, { signal, find, work }))
    return record.window ?? undefined
  }

  /** Resolves with the record to store; `undefined` if the CA did not answer. */
  async #askCa(
    live: LiveCertificate,
    previous: RenewalWindow | null,
  ): Promise<RenewalInfoRecord | undefined> {
    const { issuer, clock } = this.#parts
    const { serialNumber } = live
    const nextAskAt = (retryAfter: number | undefined, intervalMs: number) => {
      const now = clock.now()
      return Math.min(Math.max(retryAfter ?? now + intervalMs, now + minIntervalMs), now + maxIntervalMs)
    }
    try {
      const { window, retryAfter } = await issuer.renewalInfo(live.data)
      const askAt = nextAskAt(retryAfter, window ? defaultIntervalMs : maxIntervalMs)
      return { serialNumber, window: window ?? null, askAt }
    } catch (thrown) {
      if (thrown instanceof ClosedError) throw thrown
      const { blame, notBefore } = verdictOf(toError(thrown))
      if (blame === 'process') {
        this.#pausedUntil = this.#monotonicNow() + pauseMs
        return undefined
      }
      return { serialNumber, window: previous, askAt: nextAskAt(notBefore, defaultIntervalMs) }
    }
  }
}
