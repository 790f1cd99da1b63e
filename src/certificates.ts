import type { CertCache } from './cache.js'
import { type Clock, withDeadline } from './clock.js'
import { Contexts, type LiveCertificate, pauseMs } from './contexts.js'
import { ClosedError, DeadlineError, HostError, IssuanceError, toError } from './errors.js'
import type { CertificateEvent, Report } from './events.js'
import type { FailureRecord, FailureRecords } from './failure.js'
import type { HostPolicyFunction } from './hostname.js'
import type { Issuance } from './issuance.js'
import type { StoredLayout } from './layout.js'
import { LruCertCache } from './lru.js'
import { RecentErrors } from './recent-errors.js'

/** For a policy that asks a database; a handshake's own bound ends sooner for those who wait. */
const policyMs = 30_000

/** What a manager knows of a host. */
export interface HostStatus {
  readonly host: string
  /** Where its certificate in memory came from; absent if there is none in memory. */
  readonly source?: 'store' | 'acme'
  readonly notAfter?: Date
  /** When it is due to be replaced. */
  readonly renewAt?: Date
  /** What went wrong last, if nothing has gone right since. */
  readonly lastError?: Error
}

interface CertificatesParts {
  readonly store: CertCache
  readonly layout: StoredLayout
  readonly hostPolicy: HostPolicyFunction
  readonly failures: FailureRecords
  readonly issue: Issuance['issue']
  readonly max: number
  readonly renewBeforeMs: number | undefined
  readonly clock: Clock
  readonly closing: AbortSignal
  readonly report: Report
  /** A certificate became servable that was not in memory before. */
  readonly onLive: (live: LiveCertificate) => void
}

/** Certificates by host: from memory, else from the store, else from the CA; replaced when they are due. */
export class Certificates {
  readonly #parts: CertificatesParts
  readonly #memory: LruCertCache
  readonly #contexts: Contexts
  readonly #errors: RecentErrors

  constructor(parts: CertificatesParts) {
    this.#parts = parts
    const { store, layout, max, clock, renewBeforeMs, report } = parts
    // The guarded store reports a failed put.
    this.#memory = new LruCertCache(store, { max, clock, onPutFailed: () => {} })
    this.#errors = new RecentErrors(max)
    this.#contexts = new Contexts({
      now: () => clock.now(),
      renewBeforeMs,
      onFault: (host, reason) => report('invalid', { host, key: layout.certificate(host), reason }),
    })
  }

  /** In the same tick, without policy, request or new context. One that is due is renewed behind it. */
  fromMemory(host: string): LiveCertificate | undefined {
    const live = this.#inMemory(host)
    if (live && this.#parts.clock.now() >= live.attemptAt) this.#renewBehind(live)
    return live
  }

  /**
   * The host's certificate, ordered if neither memory nor the store has it.
   * @throws {HostError} if the policy does not allow it
   */
  async obtain(host: string): Promise<LiveCertificate> {
    try {
      const live = await this.#obtain(host, 0)
      this.#errors.delete(host)
      return live
    } catch (thrown) {
      const error = toError(thrown)
      if (!(error instanceof HostError)) this.#errors.set(host, error)
      throw error
    }
  }

  status(): HostStatus[] {
    const live = [...this.#memory.values()].flatMap((data) => this.#contexts.get(data) ?? [])
    const known = live.map(({ host, source, notAfter, renewAt }): HostStatus => {
      const lastError = this.#errors.get(host)
      const times = { notAfter: new Date(notAfter), renewAt: new Date(renewAt) }
      return { host, source, ...times, ...(lastError && { lastError }) }
    })
    const served = new Set(live.map(({ host }) => host))
    const failing = [...this.#errors.entries()].filter(([host]) => !served.has(host))
    return [...known, ...failing.map(([host, lastError]) => ({ host, lastError }))]
  }

  close(): Promise<void> {
    return this.#memory.close()
  }

  /** @param dueBy a certificate to be renewed before this time will not do */
  async #obtain(host: string, dueBy: number): Promise<LiveCertificate> {
    const { closing, layout, failures } = this.#parts
    if (closing.aborted) throw closing.reason
    await this.checkPolicy(host)
    const accept = (data: Uint8Array) => {
      const live = this.#contexts.derive(data, host, 'store')
      if (!live || live.renewAt <= dueBy) return false
      this.#onLive(live)
      return true
    }
    let record: FailureRecord | undefined
    const beforeLock = async () => {
      record = await failures.check(host, closing)
    }
    const data = await this.#memory.getOrPut(
      layout.certificate(host),
      (lock) => this.#issue(host, record, lock),
      { accept, beforeLock },
    )
    const live = this.#contexts.current(data, host)
    if (!live)
      throw new IssuanceError('ERR_ISSUANCE_FAILED', `the certificate for ${host} expired while it was made`)
    return live
  }

  /** @throws {HostError} without a `cause` if the policy said no, with one if it failed */
  async checkPolicy(host: string): Promise<void> {
    const { hostPolicy, clock, closing } = this.#parts
    const timeout = () => new DeadlineError(`hostPolicy gave no answer within ${policyMs / 1_000} s`)
    let allowed: boolean
    try {
      const verdict = hostPolicy(host)
      allowed =
        typeof verdict === 'boolean'
          ? verdict
          : await withDeadline(async () => verdict, { ms: policyMs, clock, error: timeout, signal: closing })
    } catch (thrown) {
      if (thrown instanceof ClosedError) throw thrown
      const cause = toError(thrown)
      throw new HostError('ERR_HOST_POLICY', host, `hostPolicy failed for ${host}: ${cause.message}`, {
        cause,
      })
    }
    if (allowed !== true) throw new HostError('ERR_HOST_POLICY', host, `hostPolicy does not allow ${host}`)
  }

  async #issue(...[host, record, lock]: Parameters<Issuance['issue']>): Promise<Uint8Array> {
    const { issue, report, clock } = this.#parts
    const started = clock.now()
    const data = await issue(host, record, lock)
    const event = this.#inMemory(host) ? 'renewed' : 'issued'
    const live = this.#contexts.derive(data, host, 'acme')
    if (live) {
      this.#onLive(live)
      report(event, { ...describe(live), durationMs: clock.now() - started })
    }
    return data
  }

  #inMemory(host: string): LiveCertificate | undefined {
    const data = this.#memory.peek(this.#parts.layout.certificate(host))
    return data && this.#contexts.current(data, host)
  }

  /** Before it goes into memory. */
  #onLive(live: LiveCertificate): void {
    // It was there before; or a peer has not replaced it yet.
    if (this.#inMemory(live.host)?.serialNumber === live.serialNumber) return
    if (live.source === 'store') this.#parts.report('loaded', describe(live))
    this.#parts.onLive(live)
  }

  #renewBehind(due: LiveCertificate): void {
    const { clock, report } = this.#parts
    const { host } = due
    const now = clock.now()
    due.attemptAt = now + pauseMs
    this.#obtain(host, now).then(
      () => this.#errors.delete(host),
      (thrown: unknown) => {
        const error = toError(thrown)
        if (error instanceof ClosedError) return
        const retryAt = error instanceof IssuanceError ? (error.retryAt?.getTime() ?? 0) : 0
        due.attemptAt = Math.max(due.attemptAt, retryAt)
        this.#errors.set(host, error)
        report('renewalFailed', { host, error })
      },
    )
  }
}

const describe = ({ host, serialNumber, notAfter }: LiveCertificate): CertificateEvent => ({
  host,
  serialNumber,
  notAfter: new Date(notAfter),
})
