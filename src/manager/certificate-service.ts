import { createHash } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import type { CertCache } from '../cache/cert-cache.js'
import { MemoryTier } from '../cache/memory-tier.js'
import type { CertId, Naming } from '../certificates/certificate-id.js'
import type { Host } from '../certificates/hostname.js'
import { isNewer, type LiveCertificate, loadCertificate } from '../certificates/live-certificate.js'
import type { RenewAtSource, RenewalTimes } from '../certificates/renewal-time.js'
import { certificateKey } from '../certificates/storage-layout.js'
import type { Attempts } from '../issuance/attempts.js'
import type { Orders, PlacedOrder } from '../issuance/orders.js'
import type { FailureRecord } from '../issuance/store/records.js'
import { ClosedError, IssuanceError, toError } from '../util/errors.js'
import type { CertificateEvent, ManagerContext } from './events.js'
import type { HostPolicyOccasion, PolicyGate } from './host-policy.js'

/** Maximum number of certificates whose last fault is remembered, so that it is reported once. */
const maxFaults = 1_000

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

interface CertificateServiceParts extends ManagerContext {
  readonly store: CertCache
  readonly naming: Naming
  readonly policy: PolicyGate
  readonly attempts: Attempts
  readonly orders: Pick<Orders, 'prepare' | 'place'>
  readonly renewalTimes: RenewalTimes
  /** Maximum number of certificates in memory. */
  readonly max: number
  /** Called after a certificate has entered memory that was not in memory before. */
  readonly onNewCertificate: (live: LiveCertificate) => void
  /** Called when a handshake uses a certificate that may be due for a check or a renewal. */
  readonly onCheckDue: (live: LiveCertificate) => void
}

/** Certificates by host: from memory, else from the store, else from the CA. */
export class CertificateService {
  readonly #parts: CertificateServiceParts
  readonly #memory: MemoryTier<CertId, LiveCertificate>
  /** The last fault of each certificate, with the hash of the faulty value. */
  readonly #faults = new LRUCache<string, string>({ max: maxFaults })

  constructor(parts: CertificateServiceParts) {
    this.#parts = parts
    const { store, max, clock } = parts
    this.#memory = new MemoryTier({
      store,
      keyOf: certificateKey,
      max,
      clock,
      onPutFailed: () => {}, // `store` reports failed puts itself
      decode: (id, data, inMemory) => this.#decode(id, data, inMemory),
      encode: ({ data }) => data,
      onChanged: (live, former) => this.#onChanged(live, former),
      onPutRefused: (live, error) => parts.attempts.putRefused(live, error),
    })
  }

  /**
   * Returns the certificate in memory, synchronously: without a policy check, a request or a new context. Calls
   * `onCheckDue` if it may be due.
   */
  fromMemory(host: Host): LiveCertificate | undefined {
    const { naming, clock, onCheckDue } = this.#parts
    const live = this.#memory.peek(naming(host))
    const now = clock.now()
    if (!live || now >= live.notAfter) return undefined
    if (now >= live.schedule.wakeAt()) onCheckDue(live)
    return live
  }

  /** Yields the certificates in memory that have not expired. */
  *live(): Generator<LiveCertificate, void> {
    const now = this.#parts.clock.now()
    for (const live of this.#memory.values()) if (now < live.notAfter) yield live
  }

  /**
   * Resolves with the host's certificate, which is ordered if neither memory nor the store has one.
   * @throws {HostError} if the policy does not allow the host, or fails
   */
  async obtain(host: Host, occasion: HostPolicyOccasion): Promise<LiveCertificate> {
    const id = this.#parts.naming(host)
    try {
      this.#parts.attempts.assertNotHeld(id)
      return await this.#obtain(id, occasion)
    } catch (thrown) {
      throw this.#parts.attempts.requestFailed(id, thrown)
    }
  }

  /**
   * Resolves with the host's certificate from memory or the store, or `undefined` if neither has one.
   * @throws {HostError} if the policy does not allow the host, or fails
   */
  async find(host: Host, occasion: HostPolicyOccasion): Promise<LiveCertificate | undefined> {
    const id = this.#parts.naming(host)
    try {
      const live = this.#peek(id)
      if (live) return live
      this.#parts.closing.throwIfAborted()
      await this.#parts.policy.check(host, occasion)
      return await this.refresh(id)
    } catch (thrown) {
      throw this.#parts.attempts.requestFailed(id, thrown)
    }
  }

  /** Reads the store, adopts its certificate if that is newer, and resolves with the certificate in memory. */
  async refresh(id: CertId): Promise<LiveCertificate | undefined> {
    await this.#memory.refresh(id, (stored) => this.#isUsable(stored, this.#peek(id)))
    return this.#peek(id)
  }

  /** Replaces a certificate that is due: adopts a newer one from the store, or orders one. Never rejects. */
  async renew(due: LiveCertificate): Promise<void> {
    const { attempts, report } = this.#parts
    attempts.renewalStarted(due)
    try {
      await this.#obtain(due.id, { reason: 'renewal' }, due)
    } catch (thrown) {
      const error = toError(thrown)
      if (error instanceof ClosedError) return
      attempts.renewalFailed(due, error)
      report('renewalFailed', { host: due.id.name, error })
    }
  }

  /** Returns the hosts in memory, then the hosts without a certificate that failed. */
  status(): HostStatus[] {
    const errors = new Map(this.#parts.attempts.lastFailures().map(({ id, error }) => [id.name, error]))
    const live = [...this.#memory.values()]
    const withCertificate = live.map(({ id, source, notAfter, schedule }): HostStatus => {
      const { renewAt, renewAtSource } = schedule
      const lastError = errors.get(id.name)
      const times = { notAfter: new Date(notAfter), renewAt: new Date(renewAt), renewAtSource }
      return { host: id.name, source, ...times, ...(lastError && { lastError }) }
    })
    for (const { id } of live) errors.delete(id.name)
    return [...withCertificate, ...[...errors].map(([host, lastError]) => ({ host, lastError }))]
  }

  /**
   * Call it after `closing` has aborted.
   * @param withinMs how long to wait for orders in progress and for the store, in ms
   */
  close(withinMs: number): Promise<void> {
    return this.#memory.close(withinMs, this.#parts.closing.reason as Error)
  }

  /** @param due the certificate to replace, if there is one */
  async #obtain(id: CertId, occasion: HostPolicyOccasion, due?: LiveCertificate): Promise<LiveCertificate> {
    const { closing, policy, attempts, orders } = this.#parts
    closing.throwIfAborted()
    await policy.check(id.name, occasion)
    let previousFailure: FailureRecord | undefined
    let order: { readonly startedAt: number; readonly isRenewal: boolean }
    let placed: PlacedOrder
    const served = () => this.#ifCurrent(due) ?? this.#peek(id)
    const toRequest = (live: LiveCertificate | undefined) => ({
      id,
      previousFailure,
      served: live && { ...live, renewAt: live.schedule.renewAt },
    })
    const live = await this.#memory.getOrPut(
      id,
      async (lock) => {
        const current = served()
        order = { startedAt: performance.now(), isRenewal: current !== undefined }
        placed = await orders.place(toRequest(current), lock)
        return this.#loadIssued(id, placed.data)
      },
      {
        accept: (candidate) => this.#isUsable(candidate, due),
        beforeLock: async () => {
          previousFailure = await attempts.check(id, closing, served() !== undefined)
          await orders.prepare(toRequest(served()))
        },
        whileWaiting: () => attempts.checkRecords(id, closing, served() !== undefined),
        onProduced: (issued) => this.#reportIssued(issued, order),
        afterPut: (issued, { lock, wasRefused }) =>
          attempts.orderSucceeded(issued, { ...placed, wasRefused }, lock?.signal),
      },
    )
    if (!this.#ifCurrent(live)) throw expiredError(id)
    attempts.requestSucceeded(id)
    return live
  }

  #loadIssued(id: CertId, data: Uint8Array): LiveCertificate {
    const issued = loadCertificate(data, id, 'acme', this.#parts)
    if (typeof issued === 'string') throw expiredError(id)
    return issued
  }

  /** Loads a stored certificate. Reports a fault once for each certificate and value. */
  #decode(id: CertId, data: Uint8Array, inMemory: LiveCertificate | undefined): LiveCertificate | undefined {
    const current = this.#ifCurrent(inMemory)
    if (current && Buffer.compare(current.data, data) === 0) return current
    const loaded = loadCertificate(data, id, 'store', this.#parts)
    if (typeof loaded !== 'string') return loaded
    const key = certificateKey(id)
    const faultId = `${loaded} ${createHash('sha256').update(data).digest('base64')}`
    if (this.#faults.peek(key) !== faultId)
      this.#parts.report('invalid', { host: id.name, key, reason: loaded })
    this.#faults.set(key, faultId)
    return undefined
  }

  /** Returns whether a certificate can be served, and is newer than `current` if that is given. */
  #isUsable(candidate: LiveCertificate, current: LiveCertificate | undefined): boolean {
    return this.#ifCurrent(candidate) !== undefined && (!current || isNewer(candidate, current))
  }

  /** Returns the certificate in memory, if it has not expired. */
  #peek(id: CertId): LiveCertificate | undefined {
    return this.#ifCurrent(this.#memory.peek(id))
  }

  /** Returns the certificate unless it has expired. */
  #ifCurrent(live: LiveCertificate | undefined): LiveCertificate | undefined {
    return live && this.#parts.clock.now() < live.notAfter ? live : undefined
  }

  /** Notifies the rest of the manager that a certificate has entered memory. */
  #onChanged(live: LiveCertificate, former: LiveCertificate | undefined): void {
    const { attempts, report, onNewCertificate } = this.#parts
    const served = this.#ifCurrent(former)
    if (served?.serialNumber === live.serialNumber) return
    attempts.certificateChanged(live)
    if (live.source === 'store') report(served ? 'adopted' : 'loaded', toEvent(live))
    onNewCertificate(live)
  }

  #reportIssued(issued: LiveCertificate, order: { startedAt: number; isRenewal: boolean }): void {
    const durationMs = performance.now() - order.startedAt
    this.#parts.report(order.isRenewal ? 'renewed' : 'issued', { ...toEvent(issued), durationMs })
  }
}

const expiredError = ({ name }: CertId) =>
  new IssuanceError(
    'ERR_ISSUANCE_FAILED',
    `the new certificate for "${name}" expired before it could be served. Check the clock of this machine.`,
  )

const toEvent = ({ id, serialNumber, notAfter }: LiveCertificate): CertificateEvent => ({
  host: id.name,
  serialNumber,
  notAfter: new Date(notAfter),
})
