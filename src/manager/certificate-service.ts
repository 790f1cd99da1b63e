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

/** Interval between store reads for a host whose order is postponed: another machine may store a certificate first. */
const postponedMs = 5_000

/** What a manager knows about a host. */
export interface HostStatus {
  readonly host: string
  /** Where the certificate in memory came from. Absent if there is none in memory. */
  readonly source?: 'store' | 'acme'
  /** When the certificate in memory expires. */
  readonly notAfter?: Date
  /** When the certificate in memory is due for renewal. */
  readonly renewAt?: Date
  /**
   * What determined `renewAt`: `ari`, the CA's suggested renewal window (ACME Renewal Information, RFC 9773);
   * `renewBeforeMs`, the option; `lifetime`, two thirds of the certificate's lifetime.
   */
  readonly renewAtSource?: RenewAtSource
  /** The last error. Absent if the host has succeeded since. */
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
  /** Aborts when the manager is closed. */
  readonly closing: AbortSignal
  readonly report: Report
  /** Called just before a certificate enters memory that was not in memory before. */
  readonly onNewCertificate: (live: LiveCertificate) => void
  /** Called when a handshake uses a certificate that is due for a check or a renewal. */
  readonly onCheckDue: (live: LiveCertificate) => void
}

/** Certificates by host: from memory, else from the store, else from the CA. */
export class CertificateService {
  readonly #parts: CertificateServiceParts
  readonly #memory: LruCertCache
  readonly #contexts: SecureContexts
  /** Hosts that may not be ordered yet, so that not every handshake reads the store. */
  readonly #postponed: LRUCache<string, { readonly error: IssuanceError; readonly until: number }>
  /** The last error of each host, for the hosts that failed most recently. */
  readonly #errors: LRUCache<string, Error>

  constructor(parts: CertificateServiceParts) {
    this.#parts = parts
    const { store, layout, max, clock, renewBeforeMs, report } = parts
    // `store` reports failed puts itself.
    this.#memory = new LruCertCache(store, { max, clock, onPutFailed: () => {} })
    // Unlike `max`, `maxSize` does not allocate all slots in advance.
    const bound = { maxSize: max, sizeCalculation: () => 1 }
    this.#errors = new LRUCache(bound)
    this.#postponed = new LRUCache(bound)
    this.#contexts = new SecureContexts({
      now: () => clock.now(),
      renewBeforeMs,
      onFault: (host, reason) => report('invalid', { host, key: layout.certificate(host), reason }),
    })
  }

  /**
   * Returns the certificate in memory, synchronously: without a policy check, a request or a new context. Calls
   * `onCheckDue` if it is due.
   */
  fromMemory(host: string): LiveCertificate | undefined {
    const live = this.#peek(host)
    if (live && this.#parts.clock.now() >= live.schedule.wakeAt) this.#parts.onCheckDue(live)
    return live
  }

  /** Yields the certificates in memory that have not expired. */
  *live(): Generator<LiveCertificate, void> {
    const now = this.#parts.clock.now()
    for (const data of this.#memory.values()) {
      const live = this.#contexts.get(data)
      if (live && now < live.notAfter) yield live
    }
  }

  /**
   * Resolves with the host's certificate, which is ordered if neither memory nor the store has one.
   * @throws {HostError} if the policy does not allow the host
   */
  async obtain(host: string): Promise<LiveCertificate> {
    try {
      this.#throwIfPostponed(host)
      return await this.#obtain(host)
    } catch (thrown) {
      throw this.#recordFailure(host, thrown)
    }
  }

  /**
   * Resolves with the host's certificate from memory or the store, or `undefined` if neither has one.
   * @throws {HostError} if the policy does not allow the host
   */
  async find(host: string): Promise<LiveCertificate | undefined> {
    try {
      const live = this.#peek(host)
      if (live) return live
      this.#throwIfClosed()
      await this.#parts.policy.check(host)
      return await this.refresh(host)
    } catch (thrown) {
      throw this.#recordFailure(host, thrown)
    }
  }

  /** Reads the store, adopts its certificate if that is newer, and resolves with the certificate in memory. */
  async refresh(host: string): Promise<LiveCertificate | undefined> {
    const accept = (data: Uint8Array) => this.#acceptNewer(data, host, this.#peek(host))
    await this.#memory.refresh(this.#parts.layout.certificate(host), { accept })
    return this.#peek(host)
  }

  /** Replaces a certificate that is due: adopts a newer one from the store, or orders one. Never rejects. */
  async renew(due: LiveCertificate): Promise<void> {
    const { clock, report } = this.#parts
    const { host, schedule } = due
    schedule.markAttempted(clock.now())
    try {
      await this.#obtain(host, due)
    } catch (thrown) {
      const error = toError(thrown)
      if (error instanceof ClosedError) return
      // A host that is no longer allowed is retried no more often than it is checked.
      if (error instanceof HostError) schedule.pauseUntil(clock.now() + schedule.checkEveryMs)
      if (error instanceof IssuanceError && error.retryAt) schedule.pauseUntil(error.retryAt.getTime())
      this.#errors.set(host, error)
      report('renewalFailed', { host, error })
    }
  }

  /** Reschedules the renewal by the CA's suggested window; `undefined` if the CA suggests none. */
  applyRenewalWindow(live: LiveCertificate, window: RenewalWindow | undefined): void {
    this.#contexts.setRenewalWindow(live, window)
  }

  /** Returns the hosts in memory, then the hosts without a certificate that failed. */
  status(): HostStatus[] {
    const live = [...this.#memory.values()].flatMap((data) => this.#contexts.get(data) ?? [])
    const withCertificate = live.map(({ host, source, notAfter, schedule }): HostStatus => {
      const { renewAt, renewAtSource } = schedule
      const lastError = this.#errors.peek(host)
      const times = { notAfter: new Date(notAfter), renewAt: new Date(renewAt), renewAtSource }
      return { host, source, ...times, ...(lastError && { lastError }) }
    })
    const hosts = new Set(live.map(({ host }) => host))
    const failed = [...this.#errors.entries()].reverse().filter(([host]) => !hosts.has(host))
    return [...withCertificate, ...failed.map(([host, lastError]) => ({ host, lastError }))]
  }

  close(): Promise<void> {
    return this.#memory.close()
  }

  /** @param due the certificate to replace, if there is one */
  async #obtain(host: string, due?: LiveCertificate): Promise<LiveCertificate> {
    const { closing, layout, failures, clock } = this.#parts
    this.#throwIfClosed()
    await this.#parts.policy.check(host)
    const accept = (data: Uint8Array) => this.#acceptNewer(data, host, due)
    let previousFailure: FailureRecord | undefined
    const beforeLock = async () => {
      previousFailure = await failures.check(host, closing)
    }
    const data = await this.#memory.getOrPut(
      layout.certificate(host),
      (lock) => {
        const served = due && clock.now() < due.notAfter ? due : this.#peek(host)
        return this.#issue({ host, previousFailure, served }, lock)
      },
      { accept, beforeLock },
    )
    const live = this.#contexts.current(data, host)
    if (!live)
      throw new IssuanceError('ERR_ISSUANCE_FAILED', `the certificate for ${host} expired while it was made`)
    failures.removeLocal(host)
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
    const prefix = `no certificate for ${host} is ordered before ${retryAt?.toISOString()}`
    const message = code === 'ERR_ISSUANCE_POSTPONED' ? cause.message : `${prefix}: ${cause.message}`
    throw new IssuanceError('ERR_ISSUANCE_POSTPONED', message, { cause, problem, retryAt })
  }

  #postponement(host: string): IssuanceError | undefined {
    const { error, until } = this.#postponed.peek(host) ?? { until: 0 }
    const remainingMs = until - this.#parts.clock.now()
    // A longer remainder means that the clock has been set back since.
    return remainingMs > 0 && remainingMs <= postponedMs ? error : undefined
  }

  /** Records an error for `status()` and for later callers, and returns it. */
  #recordFailure(host: string, thrown: unknown): Error {
    const error = toError(thrown)
    if (!(error instanceof HostError)) this.#errors.set(host, error)
    // The lock was lost repeatedly, and each attempt may have placed an order: delay the next one.
    if (error instanceof LockLostError) this.#parts.failures.addLocal(host, undefined, error)
    if (error instanceof IssuanceError && error.retryAt && !this.#postponement(host)) {
      const until = Math.min(error.retryAt.getTime(), this.#parts.clock.now() + postponedMs)
      this.#postponed.set(host, { error, until })
    }
    return error
  }

  async #issue(...[request, lock]: Parameters<Issuer['issue']>): Promise<Uint8Array> {
    const { issue, report, clock } = this.#parts
    const startedAt = clock.now()
    const data = await issue(request, lock)
    const live = this.#contexts.load(data, request.host, 'acme')
    if (live) {
      this.#reportNew(live)
      const event = request.served ? 'renewed' : 'issued'
      report(event, { ...toEvent(live), durationMs: clock.now() - startedAt })
    }
    return data
  }

  /** Returns whether stored bytes can be served, and are newer than `current` if that is given. */
  #acceptNewer(data: Uint8Array, host: string, current: LiveCertificate | undefined): boolean {
    const live = this.#contexts.load(data, host, 'store', this.#peek(host))
    if (!live || (current && !isNewer(live, current))) return false
    this.#reportNew(live)
    return true
  }

  /** Returns the certificate in memory, if it has not expired. */
  #peek(host: string): LiveCertificate | undefined {
    const data = this.#memory.peek(this.#parts.layout.certificate(host))
    return data && this.#contexts.current(data, host)
  }

  /** Called before the certificate enters memory, so that the former one can be compared with it. */
  #reportNew(live: LiveCertificate): void {
    const former = this.#peek(live.host)
    if (former?.serialNumber === live.serialNumber) return
    this.#errors.delete(live.host)
    this.#postponed.delete(live.host)
    if (live.source === 'store') this.#parts.report(former ? 'adopted' : 'loaded', toEvent(live))
    this.#parts.onNewCertificate(live)
  }
}

/** If both were issued in the same second, the stored one wins: it is the one all machines can agree on. */
const isNewer = (stored: LiveCertificate, current: LiveCertificate) =>
  stored.serialNumber !== current.serialNumber &&
  (stored.notBefore - current.notBefore || stored.notAfter - current.notAfter) >= 0

const toEvent = ({ host, serialNumber, notAfter }: LiveCertificate): CertificateEvent => ({
  host,
  serialNumber,
  notAfter: new Date(notAfter),
})
