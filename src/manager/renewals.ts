import { type Host, requireHost } from '../certificates/hostname.js'
import type { LiveCertificate } from '../certificates/live-certificate.js'
import type { RenewalTimes, RenewalWindow } from '../certificates/renewal-time.js'
import type { Attempts } from '../issuance/attempts.js'
import type { OrderBudget } from '../issuance/order-budget.js'
import { sleep } from '../util/deadline.js'
import { joinMessages, toError } from '../util/errors.js'
import { invalidOption } from '../util/validate.js'
import type { CertificateService } from './certificate-service.js'
import type { ManagerContext } from './events.js'
import { concurrency, type Job, Scheduler } from './scheduler.js'

/** Longest time until the next lookup of a kept host that is not in memory. */
const maxLookupDelayMs = 6 * 3_600_000

interface RenewalsParts extends Omit<ManagerContext, 'report'> {
  readonly certificates: CertificateService
  readonly attempts: Attempts
  readonly budget: OrderBudget
  readonly renewalTimes: RenewalTimes
  /** Returns the renewal window that the CA suggests for a certificate. */
  readonly renewalWindow: (live: LiveCertificate) => Promise<RenewalWindow | undefined>
}

/**
 * The jobs of a manager. Compares the certificates in memory with the store, adopts those that another machine has
 * renewed, and renews those that are due. Also keeps a certificate ready for each host passed to `keepRenewed`, with or
 * without traffic.
 */
export class Renewals {
  readonly #parts: RenewalsParts
  readonly #scheduler: Scheduler
  /** The hosts passed to `keepRenewed`, each with the time of its next lookup if it is not in memory by then. */
  readonly #keptHosts = new Map<Host, number>()

  constructor(parts: RenewalsParts) {
    this.#parts = parts
    const { clock, closing } = parts
    this.#scheduler = new Scheduler({
      jobs: () => this.#jobs(),
      onClockSetBack: (now) => this.#onClockSetBack(now),
      clock,
      closing,
    })
  }

  /**
   * Starts to check a certificate that a handshake has used, if it is due. Does nothing if too many jobs run: the next
   * handshake or pass starts the check.
   */
  startCheck(live: LiveCertificate): void {
    const { clock, attempts } = this.#parts
    if (clock.now() < live.schedule.wakeAt(attempts.renewalNotBefore(live))) return
    this.#scheduler.tryStart({ id: live.id.name, run: () => this.#check(live) })
  }

  /** Schedules the first check of a certificate that has entered memory. */
  scheduleCheck(live: LiveCertificate): void {
    this.#scheduler.wakeAt(this.#checkDueAt(live))
  }

  /** Obtains the certificates of all hosts and keeps them renewed: see `CertManager.ensure`. */
  async ensure(hosts: Iterable<string>): Promise<void> {
    if (typeof hosts === 'string' || typeof hosts?.[Symbol.iterator] !== 'function')
      throw invalidOption('ensure: hosts', 'an array of host names, or another iterable', hosts)
    const names: Host[] = []
    const errors: Error[] = []
    for (const host of hosts) {
      try {
        names.push(requireHost(host))
      } catch (thrown) {
        errors.push(toError(thrown))
      }
    }
    errors.push(...(await this.keepRenewed(names)))
    if (errors.length === 0) return
    const subject = errors.length === 1 ? '1 host has' : `${errors.length} hosts have`
    throw new AggregateError(errors, `${subject} no certificate: ${joinMessages(errors)}`)
  }

  /**
   * Obtains certificates for these hosts, then keeps them renewed until the manager is closed.
   * Resolves with the errors once every host has been tried; a host that failed is retried later.
   */
  async keepRenewed(hosts: readonly Host[]): Promise<Error[]> {
    const names = [...new Set(hosts)]
    // Keeps passes from looking these hosts up during this call.
    for (const host of names) this.#keptHosts.set(host, Number.POSITIVE_INFINITY)
    const errors: Error[] = []
    const missing: Host[] = []
    const loadAll = (batch: Host[], onMissing: (host: Host) => Promise<number>) =>
      inParallel(batch, async (host) => {
        // The window of a certificate that is not due can wait for its first check.
        const onFound = async (live: LiveCertificate) =>
          this.#isDue(live) ? this.#renewIfDue(live) : undefined
        const error = await this.#lookUp(host, onFound, () => onMissing(host))
        if (error) errors.push(error)
      })
    // Hosts in the store must not wait behind hosts that queue for an order.
    await loadAll(names, async (host) => {
      missing.push(host)
      return maxLookupDelayMs
    })
    const { budget, certificates, clock, closing } = this.#parts
    await loadAll(missing, async (host) => {
      for (let ms = budget.tryAcquire(); ms > 0; ms = budget.tryAcquire()) await sleep(ms, clock, closing)
      return this.#lookupDelay(await certificates.obtain(host, { reason: 'ensure' }))
    })
    return errors
  }

  *#jobs(): Generator<Job, void> {
    const hostsInMemory = new Set<string>()
    for (const live of this.#parts.certificates.live()) {
      yield { id: live.id.name, dueAt: this.#checkDueAt(live), run: () => this.#check(live) }
      if (this.#keptHosts.size > 0) hostsInMemory.add(live.id.name)
    }
    for (const [host, dueAt] of this.#keptHosts)
      if (!hostsInMemory.has(host)) yield { id: host, dueAt, run: () => this.#reload(host) }
  }

  /** Makes checks and lookups due that were scheduled by a clock that was ahead. */
  #onClockSetBack(now: number): void {
    for (const { schedule } of this.#parts.certificates.live()) schedule.checkBy(now)
    for (const [host, lookupAt] of this.#keptHosts)
      if (Number.isFinite(lookupAt)) this.#keptHosts.set(host, Math.min(lookupAt, now))
  }

  /** When a certificate that no handshake uses is checked. */
  #checkDueAt(live: LiveCertificate): number {
    const { attempts, clock } = this.#parts
    const isPaused = live.schedule.renewAt <= clock.now()
    return live.schedule.idleWakeAt(isPaused ? attempts.renewalNotBefore(live) : 0)
  }

  /** Compares a certificate with the store, and renews it if it is due. Never rejects. */
  async #check(live: LiveCertificate): Promise<void> {
    const { certificates, clock } = this.#parts
    let current = live
    live.schedule.markChecked(clock.now())
    try {
      // A renewal reads the store itself.
      if (!this.#isDue(live)) current = (await certificates.refresh(live.id)) ?? live
      await this.#renewIfDue(current)
    } catch {
      // The store has reported the error; the next check retries.
    }
    this.scheduleCheck(current)
  }

  /**
   * Applies the CA's suggested renewal window, then renews the certificate if it is due.
   * Rejects if the window cannot be read and the certificate is not due without it.
   */
  async #renewIfDue(live: LiveCertificate): Promise<void> {
    const { certificates, renewalWindow, renewalTimes } = this.#parts
    const { schedule } = live
    // After a restart the window is unknown, and may begin later than the time computed from the lifetime.
    const needsWindow = !this.#isDue(live) || !schedule.windowFetched
    try {
      if (needsWindow) schedule.setWindowTime(renewalTimes.of(live, await renewalWindow(live)))
    } catch (thrown) {
      if (!this.#isDue(live)) throw thrown
    }
    if (this.#isDue(live)) await certificates.renew(live)
  }

  #isDue(live: LiveCertificate): boolean {
    const now = this.#parts.clock.now()
    return now >= live.schedule.renewAt && now >= this.#parts.attempts.renewalNotBefore(live)
  }

  /** Loads a kept host that was evicted from memory, or that failed before, if the budget admits an order. */
  async #reload(host: Host): Promise<void> {
    const { budget, certificates } = this.#parts
    if (budget.waitMs > 0) return this.#scheduleLookup(host, budget.waitMs)
    const onFound = (live: LiveCertificate) => this.#renewIfDue(live)
    await this.#lookUp(host, onFound, async () => {
      const ms = budget.tryAcquire()
      return ms > 0 ? ms : this.#lookupDelay(await certificates.obtain(host, { reason: 'ensure' }))
    })
  }

  /**
   * Loads a kept host from memory or the store, and schedules its next lookup. Returns the error, if any.
   * @param onMissing called if neither has it; resolves with the delay until the next lookup, in ms
   */
  async #lookUp(
    host: Host,
    onFound: (live: LiveCertificate) => Promise<void>,
    onMissing: () => Promise<number>,
  ): Promise<Error | undefined> {
    const { attempts, budget, certificates } = this.#parts
    try {
      const live = await certificates.find(host, { reason: 'ensure' })
      if (live) await onFound(live)
      this.#scheduleLookup(host, live ? this.#lookupDelay(live) : await onMissing())
      return undefined
    } catch (thrown) {
      const error = toError(thrown)
      budget.onFailed(error)
      this.#scheduleLookup(host, attempts.delayAfter(error))
      return error
    }
  }

  /** Returns how long a kept host can go without a lookup if memory evicts its certificate, in ms. */
  #lookupDelay(live: LiveCertificate): number {
    return Math.min(this.#checkDueAt(live) - this.#parts.clock.now(), maxLookupDelayMs)
  }

  #scheduleLookup(host: Host, delayMs: number): void {
    const at = this.#parts.clock.now() + delayMs
    this.#keptHosts.set(host, at)
    this.#scheduler.wakeAt(at)
  }
}

async function inParallel<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const queue = items.values()
  const worker = async () => {
    for (const item of queue) await work(item)
  }
  await Promise.all(Array.from({ length: concurrency }, worker))
}
