import type { RenewalWindow } from '../certificates/renewal-time.js'
import type { LiveCertificate } from '../certificates/secure-contexts.js'
import { type Clock, clockSkewMs } from '../util/clock.js'
import { sleep } from '../util/deadline.js'
import { HostError, IssuanceError, toError } from '../util/errors.js'
import { RateLimiter } from '../util/rate-limiter.js'
import type { CertificateService } from './certificate-service.js'

/** Hosts processed at the same time: this many by the scheduler, and this many by each call of `keepRenewed`. */
const concurrency = 8
/** Longest interval between two passes, so that a change of the clock is noticed. */
const maxIntervalMs = 600_000
/** Shortest interval between two passes. */
const minIntervalMs = 100
/** Longest time until the next lookup of a kept host that is not in memory. */
const maxLookupDelayMs = 6 * 3_600_000
/** Delay before a kept host that failed is retried, unless the error has a later `retryAt`. */
const failureDelayMs = 60_000
/**
 * Orders for hosts without a certificate: 100 at once, then one every 54 s. That stays within Let's Encrypt's limit of
 * 300 new orders per account in any 3 hours.
 */
const orderBurst = 100
const orderIntervalMs = 54_000

interface RenewalSchedulerParts {
  readonly certificates: CertificateService
  /** Returns the renewal window that the CA suggests for a certificate. */
  readonly renewalWindow: (live: LiveCertificate) => Promise<RenewalWindow | undefined>
  readonly clock: Clock
  /** Aborts when the manager is closed. */
  readonly closing: AbortSignal
}

/**
 * Compares the certificates in memory with the store, adopts those that another machine has renewed, and renews those
 * that are due. Also keeps a certificate ready for each host passed to `keepRenewed`, with or without traffic.
 *
 * One timer serves all hosts. Each pass visits every certificate in memory; there is no sorted queue.
 */
export class RenewalScheduler {
  readonly #parts: RenewalSchedulerParts
  readonly #orderRate: RateLimiter
  /** The hosts passed to `keepRenewed`, each with the time of its next lookup if it is not in memory by then. */
  readonly #keptHosts = new Map<string, number>()
  readonly #busyHosts = new Set<string>()
  /** The latest time that the clock has shown. */
  #latestNow = 0
  #timer: { readonly at: number; readonly cancel: () => void } | undefined

  constructor(parts: RenewalSchedulerParts) {
    this.#parts = parts
    this.#orderRate = new RateLimiter(parts.clock, orderBurst, orderIntervalMs)
    parts.closing.addEventListener('abort', () => this.#timer?.cancel())
  }

  /**
   * Starts to check a certificate that a handshake has used. Does nothing if too many hosts are busy: the next
   * handshake or pass starts the check.
   */
  startCheck(live: LiveCertificate): void {
    if (this.#busyHosts.size < concurrency) this.#start(live.host, () => this.#checkCertificate(live))
  }

  /** Schedules the first check of a certificate that has entered memory. */
  scheduleCheck(live: LiveCertificate): void {
    this.#schedulePass(live.schedule.idleWakeAt)
  }

  /**
   * Obtains certificates for these hosts, then keeps them renewed until the manager is closed.
   * Resolves with the errors once every host has been tried; a host that failed is retried later.
   */
  async keepRenewed(hosts: readonly string[]): Promise<Error[]> {
    const names = [...new Set(hosts)]
    // No pass looks them up while this call does.
    for (const host of names) this.#keptHosts.set(host, Number.POSITIVE_INFINITY)
    const errors: Error[] = []
    const missing: string[] = []
    const loadAll = (batch: string[], onMissing: (host: string) => Promise<number>) =>
      inParallel(batch, async (host) => {
        // The window of a certificate that is not due can wait for its first check.
        const onFound = async (live: LiveCertificate) =>
          this.#isDue(live) ? this.#renewIfDue(live) : undefined
        const error = await this.#loadHost(host, onFound, () => onMissing(host))
        if (error) errors.push(error)
      })
    // Hosts in the store must not wait behind hosts that queue for an order.
    await loadAll(names, async (host) => {
      missing.push(host)
      return maxLookupDelayMs
    })
    await loadAll(missing, async (host) => {
      for (let ms = this.#orderRate.tryAcquire(); ms > 0; ms = this.#orderRate.tryAcquire())
        await this.#sleep(ms)
      return this.#lookupDelay(await this.#parts.certificates.obtain(host))
    })
    return errors
  }

  #schedulePass(requestedAt: number): void {
    const { clock, closing } = this.#parts
    const now = clock.now()
    this.#latestNow = Math.max(this.#latestNow, now)
    const at = Math.max(Math.min(requestedAt, now + maxIntervalMs), now + minIntervalMs)
    if (closing.aborted || (this.#timer && this.#timer.at <= at)) return
    this.#timer?.cancel()
    const onTimer = () => {
      this.#timer = undefined
      this.#schedulePass(this.#runPass())
    }
    this.#timer = { at, cancel: clock.after(at - now, onTimer) }
  }

  /** Starts everything that is due, within the concurrency limit; returns the time of the next pass. */
  #runPass(): number {
    const { certificates, clock } = this.#parts
    const now = clock.now()
    if (now < this.#latestNow - clockSkewMs) this.#clockWasSetBack(now, this.#latestNow - now)
    this.#latestNow = now
    let nextPassAt = Number.POSITIVE_INFINITY
    const startIfDue = (host: string, at: number, work: () => Promise<unknown>) => {
      if (at > now) nextPassAt = Math.min(nextPassAt, at)
      else if (this.#busyHosts.has(host)) return
      else if (this.#busyHosts.size < concurrency) this.#start(host, work)
      else nextPassAt = now
    }
    const hostsInMemory = new Set<string>()
    for (const live of certificates.live()) {
      startIfDue(live.host, live.schedule.idleWakeAt, () => this.#checkCertificate(live))
      if (this.#keptHosts.size > 0) hostsInMemory.add(live.host)
    }
    for (const [host, lookupAt] of this.#keptHosts) {
      if (!hostsInMemory.has(host)) startIfDue(host, lookupAt, () => this.#reloadHost(host))
    }
    return nextPassAt
  }

  /** Brings forward what was scheduled by a clock that was ahead by `byMs`. */
  #clockWasSetBack(now: number, byMs: number): void {
    for (const { schedule } of this.#parts.certificates.live()) schedule.onClockSetBack(now, byMs)
    for (const [host, lookupAt] of this.#keptHosts)
      if (Number.isFinite(lookupAt)) this.#keptHosts.set(host, Math.min(lookupAt, now))
  }

  #start(host: string, work: () => Promise<unknown>): void {
    if (this.#busyHosts.has(host) || this.#parts.closing.aborted) return
    this.#busyHosts.add(host)
    void work().finally(() => this.#busyHosts.delete(host))
  }

  /** Compares a certificate with the store, and renews it if it is due. Never rejects. */
  async #checkCertificate(live: LiveCertificate): Promise<void> {
    const { certificates, clock } = this.#parts
    let current = live
    live.schedule.markChecked(clock.now())
    try {
      // A renewal reads the store itself.
      if (!this.#isDue(live)) current = (await certificates.refresh(live.host)) ?? live
      await this.#renewIfDue(current)
    } catch {
      // The store has reported the error; the next check retries.
    }
    this.#schedulePass(current.schedule.idleWakeAt)
  }

  /**
   * Applies the CA's suggested renewal window, then renews the certificate if it is due.
   * Rejects if the window cannot be read and the certificate is not due without it.
   */
  async #renewIfDue(live: LiveCertificate): Promise<void> {
    const { certificates, renewalWindow } = this.#parts
    // After a restart the window is unknown, and may begin later than the time computed from the lifetime.
    const needsWindow = !this.#isDue(live) || !live.schedule.windowFetched
    try {
      if (needsWindow) certificates.applyRenewalWindow(live, await renewalWindow(live))
    } catch (thrown) {
      if (!this.#isDue(live)) throw thrown
    }
    if (this.#isDue(live)) await certificates.renew(live)
  }

  #isDue({ schedule }: LiveCertificate): boolean {
    return this.#parts.clock.now() >= schedule.attemptAt
  }

  /** Loads a kept host that was evicted from memory, or that failed before, subject to the order rate. */
  async #reloadHost(host: string): Promise<void> {
    const { certificates } = this.#parts
    if (this.#orderRate.waitMs > 0) return this.#scheduleLookup(host, this.#orderRate.waitMs)
    const onFound = (live: LiveCertificate) => this.#renewIfDue(live)
    await this.#loadHost(host, onFound, async () => {
      const ms = this.#orderRate.tryAcquire()
      return ms > 0 ? ms : this.#lookupDelay(await certificates.obtain(host))
    })
  }

  /**
   * Loads a kept host from memory or the store, and schedules its next lookup. Returns the error, if any.
   * @param onMissing called if neither has it; resolves with the delay until the next lookup, in ms
   */
  async #loadHost(
    host: string,
    onFound: (live: LiveCertificate) => Promise<void>,
    onMissing: () => Promise<number>,
  ): Promise<Error | undefined> {
    const { certificates, clock } = this.#parts
    try {
      const live = await certificates.find(host)
      if (live) await onFound(live)
      this.#scheduleLookup(host, live ? this.#lookupDelay(live) : await onMissing())
      return undefined
    } catch (thrown) {
      const error = toError(thrown)
      const { problem, retryAt } = error instanceof IssuanceError ? error : {}
      if (problem?.type.endsWith(':rateLimited')) this.#orderRate.drain()
      const isRefusedByPolicy = error instanceof HostError && !error.cause
      const untilRetryMs = (retryAt?.getTime() ?? 0) - clock.now()
      this.#scheduleLookup(
        host,
        isRefusedByPolicy ? maxLookupDelayMs : Math.max(untilRetryMs, failureDelayMs),
      )
      return error
    }
  }

  /** How long a kept host can go without a lookup, should memory evict its certificate. In ms. */
  #lookupDelay({ schedule }: LiveCertificate): number {
    return Math.min(schedule.idleWakeAt - this.#parts.clock.now(), maxLookupDelayMs)
  }

  #scheduleLookup(host: string, delayMs: number): void {
    const at = this.#parts.clock.now() + delayMs
    this.#keptHosts.set(host, at)
    this.#schedulePass(at)
  }

  #sleep(ms: number): Promise<void> {
    const { clock, closing } = this.#parts
    return sleep(ms, clock, closing)
  }
}

async function inParallel(hosts: readonly string[], work: (host: string) => Promise<void>): Promise<void> {
  const queue = hosts.values()
  const worker = async () => {
    for (const host of queue) await work(host)
  }
  await Promise.all(Array.from({ length: concurrency }, worker))
}
