import type { RenewalInfo } from '../acme/renewal-info.js'
import type { CertCache } from '../cache/cert-cache.js'
import { runOncePerFleet } from '../cache/once-per-fleet.js'
import type { RenewalWindow } from '../certificates/renewal-time.js'
import type { LiveCertificate } from '../certificates/secure-contexts.js'
import type { StorageLayout } from '../certificates/storage-layout.js'
import type { Clock } from '../util/clock.js'
import { ClosedError, IssuanceError } from '../util/errors.js'

const hourMs = 3_600_000
/** Where the CA does not say when to ask again; after an error, too (RFC 9773 section 4.3.3). */
const defaultMs = 6 * hourMs
/** RFC 9773 section 4.3.2 recommends these bounds. */
const shortestMs = 60_000
const longestMs = 24 * hourMs

/** The CA's wish for a certificate, as stored under `<host>+renewal`, in JSON. Times in ms since the epoch. */
export interface RenewalInfoRecord {
  /** Of the certificate that was asked about. */
  readonly serialNumber: string
  /** `null`: it has no opinion. */
  readonly window: RenewalWindow | null
  /** When the CA is to be asked again. */
  readonly askAt: number
}

interface RenewalInfoRecordsParts {
  readonly store: CertCache
  readonly layout: StorageLayout
  readonly clock: Clock
  readonly closing: AbortSignal
  readonly ask: (certificate: Uint8Array) => Promise<RenewalInfo>
}

/** When the CA would have certificates replaced (RFC 9773): one machine asks, all machines know. */
export class RenewalInfoRecords {
  private readonly parts: RenewalInfoRecordsParts

  constructor(parts: RenewalInfoRecordsParts) {
    this.parts = parts
  }

  /**
   * What the CA said last; asked anew if it is time to.
   * @throws {StoreError} if the store could not tell what it said
   */
  async window(live: LiveCertificate): Promise<RenewalWindow | undefined> {
    const { store, layout, clock, closing } = this.parts
    const { notBefore, notAfter } = live
    // A CA that calls each new certificate overdue must not be ordered from again and again.
    if (clock.now() < notBefore + Math.min(defaultMs, (notAfter - notBefore) / 50)) return undefined
    const key = layout.renewal(live.host)
    let former: RenewalInfoRecord | undefined
    const find = async () => {
      const data = await store.get(key, { signal: closing })
      former = data && parseRenewalInfoRecord(data)
      if (former?.serialNumber !== live.serialNumber) former = undefined
      // Later than anybody asks for: the clock of the machine that wrote it was wrong.
      const now = clock.now()
      return former && now < former.askAt && former.askAt <= now + longestMs ? former : undefined
    }
    const work = async () => {
      const value = await this.#ask(live, former)
      await store.put(key, Buffer.from(JSON.stringify(value)), { signal: closing })
      return { value }
    }
    const known = await find()
    const record = known ?? (await runOncePerFleet({ store, name: key, clock, signal: closing, find, work }))
    return record.window ?? undefined
  }

  async #ask(live: LiveCertificate, former: RenewalInfoRecord | undefined): Promise<RenewalInfoRecord> {
    const { ask, clock } = this.parts
    const { serialNumber } = live
    const again = (retryAfter: number | undefined, usualMs: number) => {
      const now = clock.now()
      return Math.min(Math.max(retryAfter ?? now + usualMs, now + shortestMs), now + longestMs)
    }
    try {
      const { window, retryAfter } = await ask(live.data)
      return {
        serialNumber,
        window: window ?? null,
        askAt: again(retryAfter, window ? defaultMs : longestMs),
      }
    } catch (thrown) {
      if (thrown instanceof ClosedError) throw thrown
      // What it said before still holds; otherwise the certificate's lifetime decides.
      const retryAfter = thrown instanceof IssuanceError ? thrown.retryAt?.getTime() : undefined
      return { serialNumber, window: former?.window ?? null, askAt: again(retryAfter, defaultMs) }
    }
  }
}

/** `undefined` for anything that is no such record: then the CA is asked. */
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

/** What a Date can hold: with 1e308, a time between start and end may be no number. */
const isTime = (value: unknown) => typeof value === 'number' && Math.abs(value) <= 8.64e15
