import type { RenewalInfo } from '../acme/renewal-info.js'
import type { CertCache } from '../cache/cert-cache.js'
import { runOncePerFleet } from '../cache/once-per-fleet.js'
import type { RenewalWindow } from '../certificates/renewal-time.js'
import type { LiveCertificate } from '../certificates/secure-contexts.js'
import type { StorageLayout } from '../certificates/storage-layout.js'
import type { Clock } from '../util/clock.js'
import { ClosedError, IssuanceError } from '../util/errors.js'

const hourMs = 3_600_000
/** Polling interval without a `Retry-After`, and after an error (RFC 9773 section 4.3.3). */
const defaultIntervalMs = 6 * hourMs
/** Bounds of the polling interval, as RFC 9773 section 4.3.2 recommends. */
const minIntervalMs = 60_000
const maxIntervalMs = 24 * hourMs

/** The CA's renewal information, stored as JSON under `<host>+renewal`. Times are in ms since the epoch. */
export interface RenewalInfoRecord {
  /** The certificate's serial number. */
  readonly serialNumber: string
  /** The suggested renewal window. `null` if the CA suggests none. */
  readonly window: RenewalWindow | null
  /** When to ask the CA again. */
  readonly askAt: number
}

interface RenewalInfoRecordsParts {
  readonly store: CertCache
  readonly layout: StorageLayout
  readonly clock: Clock
  /** Aborts when the manager is closed. */
  readonly closing: AbortSignal
  /** Asks the CA about a certificate: PEM, leaf first. */
  readonly fetchInfo: (certificate: Uint8Array) => Promise<RenewalInfo>
}

/** Reads the CA's suggested renewal windows (RFC 9773). One machine asks the CA and stores the answer for all. */
export class RenewalInfoRecords {
  private readonly parts: RenewalInfoRecordsParts

  constructor(parts: RenewalInfoRecordsParts) {
    this.parts = parts
  }

  /**
   * Resolves with the suggested window of a certificate; `undefined` if there is none. Asks the CA if the stored
   * record is missing or out of date.
   * @throws {StoreError} if a store operation fails
   */
  async renewalWindow(live: LiveCertificate): Promise<RenewalWindow | undefined> {
    const { store, layout, clock, closing } = this.parts
    const { notBefore, notAfter } = live
    // Prevents an endless series of orders from a CA that suggests a past window for each new certificate.
    if (clock.now() < notBefore + Math.min(defaultIntervalMs, (notAfter - notBefore) / 50)) return undefined
    const key = layout.renewal(live.host)
    let previous: RenewalInfoRecord | undefined
    const find = async () => {
      const data = await store.get(key, { signal: closing })
      previous = data && parseRenewalInfoRecord(data)
      if (previous?.serialNumber !== live.serialNumber) previous = undefined
      const now = clock.now()
      // A record beyond the longest interval was written by a wrong clock.
      return previous && now < previous.askAt && previous.askAt <= now + maxIntervalMs ? previous : undefined
    }
    const work = async () => {
      const value = await this.#askCa(live, previous)
      await store.put(key, Buffer.from(JSON.stringify(value)), { signal: closing })
      return { value }
    }
    const current = await find()
    const record =
      current ?? (await runOncePerFleet({ store, name: key, clock, signal: closing, find, work }))
    return record.window ?? undefined
  }

  async #askCa(live: LiveCertificate, previous: RenewalInfoRecord | undefined): Promise<RenewalInfoRecord> {
    const { fetchInfo, clock } = this.parts
    const { serialNumber } = live
    const nextAskAt = (retryAfter: number | undefined, intervalMs: number) => {
      const now = clock.now()
      return Math.min(Math.max(retryAfter ?? now + intervalMs, now + minIntervalMs), now + maxIntervalMs)
    }
    try {
      const { window, retryAfter } = await fetchInfo(live.data)
      const askAt = nextAskAt(retryAfter, window ? defaultIntervalMs : maxIntervalMs)
      return { serialNumber, window: window ?? null, askAt }
    } catch (thrown) {
      if (thrown instanceof ClosedError) throw thrown
      // The previous window remains in effect; without one the certificate's lifetime decides.
      const retryAfter = thrown instanceof IssuanceError ? thrown.retryAt?.getTime() : undefined
      const askAt = nextAskAt(retryAfter, defaultIntervalMs)
      return { serialNumber, window: previous?.window ?? null, askAt }
    }
  }
}

/** Returns `undefined` for an invalid record. */
export function parseRenewalInfoRecord(data: Uint8Array): RenewalInfoRecord | undefined {
  try {
    const { serialNumber, window, askAt } = JSON.parse(Buffer.from(data).toString()) as RenewalInfoRecord
    const isWindow =
      window === null || (isTime(window.start) && isTime(window.end) && window.start < window.end)
    if (typeof serialNumber !== 'string' || !isWindow || !isTime(askAt)) return undefined
    return { serialNumber, window: window && { start: window.start, end: window.end }, askAt }
  } catch {
    return undefined
  }
}

/** Limited to the range of a Date: between larger numbers, the arithmetic for a random time can give NaN. */
const isTime = (value: unknown) => typeof value === 'number' && Math.abs(value) <= 8.64e15
