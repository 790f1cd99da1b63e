import { LRUCache } from 'lru-cache'
import type { CertCache } from '../cache/cert-cache.js'
import { LruCertCache } from '../cache/lru-cert-cache.js'
import type { RenewAtSource, RenewalWindow } from '../certificates/renewal-time.js'
import { type LiveCertificate, SecureContexts } from '../certificates/secure-contexts.js'
import type { StorageLayout } from '../certificates/storage-layout.js'
import type { FailureRecord, FailureRecords } from '../issuance/failure-records.js'
import type { Issuer } from '../issuance/issuer.js'
import type { Clock } from '../util/clock.js'
import { ClosedError, HostError, IssuanceError, LockLostError, toError } from '../util/errors.js'
import type { CertificateEvent, Report } from './events.js'
import type { PolicyGate } from './host-policy.js'

/** A host that may not be ordered yet is looked for in the store so often, as a peer may have a certificate sooner. */
const postponedMs = 5_000

/** What a manager knows of a host. */
export interface HostStatus {
  readonly host: string
  /** Where its certificate in memory came from; absent if there is none in memory. */
  readonly source?: 'store' | 'acme'
  readonly notAfter?: Date
  /** When it is due to be replaced. */
  readonly renewAt?: Date
  /** What decided that: the CA (ACME Renewal Information), the option, or two thirds of the lifetime. */
  readonly renewAtSource?: RenewAtSource
  /** What went wrong last, if nothing has gone right since. */
  readonly lastError?: Error
}

interface CertificateServiceParts {
  readonly store: CertCache
  readonly layout: StorageLayout
  readonly policy: PolicyGate
  readonly failures: FailureRecords
  readonly issue: Issuer['issue']
  readonly max: number
  readonly renewBeforeMs: number | undefined
  readonly clock: Clock
  readonly closing: AbortSignal
  readonly report: Report
  /** A certificate became servable that was not in memory before. */
  readonly onLive: (live: LiveCertificate) => void
  /** Something is to be done about a certificate that a handshake was served with. */
  readonly onWake: (live: LiveCertificate) => void
}

/** Certificates by host: from memory, else from the store, else from the CA. */
export class CertificateService {
  readonly #parts: CertificateServiceParts
  readonly #memory: LruCertCache
  readonly #contexts: SecureContexts
  /** Hosts that may not be ordered yet: neither they nor the store are asked at each handshake. */
  readonly #postponed: LRUCache<string, { readonly error: IssuanceError; readonly until: number }>
  /** The last error of the hosts that failed last. */
  readonly #errors: LRUCache<string, Error>

  constructor(parts: CertificateServiceParts) {
    this.#parts = parts
    const { store, layout, max, clock, renewBeforeMs, report } = parts
    // The guarded store reports a failed put.
    this.#memory = new LruCertCache(store, { max, clock, onPutFailed: () => {} })
    // Unlike `max`, `maxSize` allocates no slots beforehand.
    const bound = { maxSize: max, sizeCalculation: () => 1 }
    this.#errors = new LRUCache(bound)
    this.#postponed = new LRUCache(bound)
    this.#contexts = new SecureContexts({
      now: () => clock.now(),
      renewBeforeMs,
      onFault: (host, reason) => report('invalid', { host, key: layout.certificate(host), reason }),
    })
  }

  /** In the same tick, without policy, request or new context. */
  fromMemory(host: string): LiveCertificate | undefined {
    const live = this.#inMemory(host)
    if (live && this.#parts.clock.now() >= live.schedule.wakeAt) this.#parts.onWake(live)
    return live
  }

  /** All that are in memory and may be served. */
  *live(): Generator<LiveCertificate, void> {
    const now = this.#parts.clock.now()
    for (const data of this.#memory.values()) {
      const live = this.#contexts.get(data)
      if (live && now < live.notAfter) yield live
    }
  }

  /**
   * The host's certificate, ordered if neither memory nor the store has it.
   * @throws {HostError} if the policy does not allow it
   */
  obtain(host: string): Promise<LiveCertificate> {
    return this.#remembering(host, async () => {
      this.#throwIfPostponed(host)
      return this.#obtain(host)
    })
  }

  /**
   * The same from memory or the store alone; `undefined` if neither has it.
   * @throws {HostError} if the policy does not allow it
   */
  find(host: string): Promise<LiveCertificate | undefined> {
    return this.#remembering(host, async () => {
      const known = this.#inMemory(host)
      if (known) return known
      this.#throwIfClosed()
      await this.#parts.policy.check(host)
      return this.refresh(host)
    })
  }

  /** What is in memory, after a look whether the store has a newer one: of a peer, then. */
  async refresh(host: string): Promise<LiveCertificate | undefined> {
    const accept = (data: Uint8Array) => this.#acceptNewer(data, host, this.#inMemory(host))
    await this.#memory.refresh(this.#parts.layout.certificate(host), { accept })
    return this.#inMemory(host)
  }

  /** Replaces a certificate that is due, by a peer's newer one or by an order. Never rejects. */
  async renew(due: LiveCertificate): Promise<void> {
    const { clock, report } = this.#parts
    const { host, schedule } = due
    schedule.markAttempted(clock.now())
    try {
      await this.#obtain(host, due)
    } catch (thrown) {
      const error = toError(thrown)
      if (error instanceof ClosedError) return
      // A host that is not allowed any more is asked for as seldom as it is checked.
      if (error instanceof HostError) schedule.pauseUntil(clock.now() + schedule.checkEveryMs)
      if (error instanceof IssuanceError && error.retryAt) schedule.pauseUntil(error.retryAt.getTime())
      this.#errors.set(host, error)
      report('renewalFailed', { host, error })
    }
  }

  /** The CA's wish for when to replace a certificate. */
  suggest(live: LiveCertificate, window: RenewalWindow | undefined): void {
    this.#contexts.setRenewalWindow(live, window)
  }

  status(): HostStatus[] {
    const live = [...this.#memory.values()].flatMap((data) => this.#contexts.get(data) ?? [])
    const known = live.map(({ host, source, notAfter, schedule }): HostStatus => {
      const { renewAt, renewAtSource } = schedule
      const lastError = this.#errors.peek(host)
      const times = { notAfter: new Date(notAfter), renewAt: new Date(renewAt), renewAtSource }
      return { host, source, ...times, ...(lastError && { lastError }) }
    })
    const served = new Set(live.map(({ host }) => host))
    const failing = [...this.#errors.entries()].reverse().filter(([host]) => !served.has(host))
    return [...known, ...failing.map(([host, lastError]) => ({ host, lastError }))]
  }

  close(): Promise<void> {
    return this.#memory.close()
  }

  /** @param due a certificate that will not do: it is to be replaced */
  async #obtain(host: string, due?: LiveCertificate): Promise<LiveCertificate> {
    const { closing, layout, failures, clock } = this.#parts
    this.#throwIfClosed()
    await this.#parts.policy.check(host)
    const accept = (data: Uint8Array) => this.#acceptNewer(data, host, due)
    let record: FailureRecord | undefined
    const beforeLock = async () => {
      record = await failures.check(host, closing)
    }
    const data = await this.#memory.getOrPut(
      layout.certificate(host),
      (lock) => {
        const served = due && clock.now() < due.notAfter ? due : this.#inMemory(host)
        return this.#issue({ host, before: record, served }, lock)
      },
      { accept, beforeLock },
    )
    const live = this.#contexts.current(data, host)
    if (!live)
      throw new IssuanceError('ERR_ISSUANCE_FAILED', `the certificate for ${host} expired while it was made`)
    failures.forget(host)
    return live
  }

  #throwIfClosed(): void {
    const { closing } = this.#parts
    if (closing.aborted) throw closing.reason
  }

  #throwIfPostponed(host: string): void {
    const cause = this.#postponement(host)
    if (!cause) return
    const { code, problem, retryAt } = cause
    const before = `no certificate for ${host} is ordered before ${retryAt?.toISOString()}`
    const message = code === 'ERR_ISSUANCE_POSTPONED' ? cause.message : `${before}: ${cause.message}`
    throw new IssuanceError('ERR_ISSUANCE_POSTPONED', message, { cause, problem, retryAt })
  }

  #postponement(host: string): IssuanceError | undefined {
    const { error, until } = this.#postponed.get(host) ?? { until: 0 }
    const left = until - this.#parts.clock.now()
    // More than that was written down by a clock that was ahead.
    return left > 0 && left <= postponedMs ? error : undefined
  }

  /** Keeps what goes wrong for whoever asks next. */
  async #remembering<T>(host: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (thrown) {
      const error = toError(thrown)
      if (!(error instanceof HostError)) this.#errors.set(host, error)
      // Again and again, or it would have begun again: each time something may have been ordered.
      if (error instanceof LockLostError) this.#parts.failures.hold(host, undefined, error)
      if (error instanceof IssuanceError && error.retryAt && !this.#postponement(host)) {
        const until = Math.min(error.retryAt.getTime(), this.#parts.clock.now() + postponedMs)
        this.#postponed.set(host, { error, until })
      }
      throw error
    }
  }

  async #issue(...[wanted, lock]: Parameters<Issuer['issue']>): Promise<Uint8Array> {
    const { issue, report, clock } = this.#parts
    const started = clock.now()
    const data = await issue(wanted, lock)
    const live = this.#contexts.load(data, wanted.host, 'acme')
    if (live) {
      this.#onLive(live)
      const event = wanted.served ? 'renewed' : 'issued'
      report(event, { ...describe(live), durationMs: clock.now() - started })
    }
    return data
  }

  /** Whether stored bytes may be served, and are newer than a certificate that there is. */
  #acceptNewer(data: Uint8Array, host: string, than: LiveCertificate | undefined): boolean {
    const live = this.#contexts.load(data, host, 'store', this.#inMemory(host))
    if (!live || (than && !isNewer(live, than))) return false
    this.#onLive(live)
    return true
  }

  #inMemory(host: string): LiveCertificate | undefined {
    const data = this.#memory.peek(this.#parts.layout.certificate(host))
    return data && this.#contexts.current(data, host)
  }

  /** Before it goes into memory. */
  #onLive(live: LiveCertificate): void {
    const former = this.#inMemory(live.host)
    if (former?.serialNumber === live.serialNumber) return
    this.#errors.delete(live.host)
    this.#postponed.delete(live.host)
    if (live.source === 'store') this.#parts.report(former ? 'adopted' : 'loaded', describe(live))
    this.#parts.onLive(live)
  }
}

/** Of two that were made in the same second, what is in the store wins: it is what all machines can agree on. */
const isNewer = (stored: LiveCertificate, than: LiveCertificate) =>
  stored.serialNumber !== than.serialNumber &&
  (stored.notBefore - than.notBefore || stored.notAfter - than.notAfter) >= 0

const describe = ({ host, serialNumber, notAfter }: LiveCertificate): CertificateEvent => ({
  host,
  serialNumber,
  notAfter: new Date(notAfter),
})
