import type { RenewalWindow } from '../certificates/renewal-time.js'
import type { LiveCertificate } from '../certificates/secure-contexts.js'
import { type Clock, clockSkewMs } from '../util/clock.js'
import { sleep } from '../util/deadline.js'
import { HostError, IssuanceError, toError } from '../util/errors.js'
import { RateLimiter } from '../util/rate-limiter.js'
import type { CertificateService } from './certificate-service.js'

/** How many hosts are worked on at once, by the scheduler and by `keep` each. */
const concurrency = 8
/** The scheduler looks around so often at least, so that a clock that was set is noticed. */
const longestRestMs = 600_000
/** And at most. */
const shortestRestMs = 100
/** A kept host that is not in memory, at the latest, and one that could not be had, without a word of when to try again. */
const absentMs = 6 * 3_600_000
const failedMs = 60_000
/** Let's Encrypt allows an account 300 new orders per 3 hours: at most so many first ones are started in any 3 hours. */
const orderBurst = 100
const orderEveryMs = 54_000

interface RenewalSchedulerParts {
  readonly certificates: CertificateService
  /** The CA's wish for a certificate. */
  readonly suggestion: (live: LiveCertificate) => Promise<RenewalWindow | undefined>
  readonly clock: Clock
  readonly closing: AbortSignal
}

/**
 * The one scheduler: certificates in memory are compared with the store, so that what a peer has replaced is
 * served here, too, and replaced when they are due; hosts that were asked for are kept.
 *
 * A timer for all of them, and no order of theirs: each time it looks at everybody's few numbers.
 */
export class RenewalScheduler {
  readonly #parts: RenewalSchedulerParts
  readonly #orderRate: RateLimiter
  /** The hosts that `keep` was called with, and when to look again for those that are not in memory. */
  readonly #kept = new Map<string, number>()
  /** Hosts that are being worked on. */
  readonly #busy = new Set<string>()
  /** The latest time by which something was planned. */
  #latest = 0
  #timer: { readonly at: number; readonly cancel: () => void } | undefined

  constructor(parts: RenewalSchedulerParts) {
    this.#parts = parts
    this.#orderRate = new RateLimiter(parts.clock, orderBurst, orderEveryMs)
    parts.closing.addEventListener('abort', () => this.#timer?.cancel())
  }

  /** A handshake was served with a certificate that something is to be done about. */
  wake(live: LiveCertificate): void {
    if (this.#busy.size < concurrency) this.#start(live.host, () => this.#care(live))
  }

  /** A certificate came into memory. */
  add(live: LiveCertificate): void {
    this.#arm(live.schedule.idleWakeAt)
  }

  /** Gets these hosts' certificates, and keeps them for good. Resolves with the errors when all have been tried. */
  async keep(hosts: readonly string[]): Promise<Error[]> {
    const names = [...new Set(hosts)]
    for (const host of names) this.#kept.set(host, Number.POSITIVE_INFINITY)
    const errors: Error[] = []
    const missing: string[] = []
    const each = (some: string[], whenMissing: (host: string) => Promise<number>) =>
      inParallel(some, async (host) => {
        const isDue = ({ schedule }: LiveCertificate) => this.#parts.clock.now() >= schedule.attemptAt
        const whenFound = async (live: LiveCertificate) => (isDue(live) ? this.#attend(live) : undefined)
        const error = await this.#bring(host, whenFound, () => whenMissing(host))
        if (error) errors.push(error)
      })
    // Those that are stored don't wait behind those that take their turn to be ordered.
    await each(names, async (host) => {
      missing.push(host)
      return absentMs
    })
    await each(missing, async (host) => {
      for (let ms = this.#orderRate.tryAcquire(); ms > 0; ms = this.#orderRate.tryAcquire())
        await this.#wait(ms)
      return this.#restOf(await this.#parts.certificates.obtain(host))
    })
    return errors
  }

  #arm(wanted: number): void {
    const { clock, closing } = this.#parts
    const now = clock.now()
    this.#latest = Math.max(this.#latest, now)
    const at = Math.max(Math.min(wanted, now + longestRestMs), now + shortestRestMs)
    if (closing.aborted || (this.#timer && this.#timer.at <= at)) return
    this.#timer?.cancel()
    const tick = () => {
      this.#timer = undefined
      this.#arm(this.#tick())
    }
    this.#timer = { at, cancel: clock.after(at - now, tick) }
  }

  /** Starts what is to be done now; returns when to look again. */
  #tick(): number {
    const { certificates, clock } = this.#parts
    const now = clock.now()
    if (now < this.#latest - clockSkewMs) this.#clockWasAhead(now, this.#latest - now)
    this.#latest = now
    let next = Number.POSITIVE_INFINITY
    const consider = (host: string, at: number, work: () => Promise<unknown>) => {
      if (at > now) next = Math.min(next, at)
      else if (this.#busy.has(host)) return
      else if (this.#busy.size < concurrency) this.#start(host, work)
      else next = now
    }
    const present = new Set<string>()
    for (const live of certificates.live()) {
      consider(live.host, live.schedule.idleWakeAt, () => this.#care(live))
      if (this.#kept.size > 0) present.add(live.host)
    }
    for (const [host, at] of this.#kept) {
      if (!present.has(host)) consider(host, at, () => this.#bringBack(host))
    }
    return next
  }

  #clockWasAhead(now: number, byMs: number): void {
    for (const { schedule } of this.#parts.certificates.live()) schedule.onClockSetBack(now, byMs)
    for (const [host, at] of this.#kept) if (Number.isFinite(at)) this.#kept.set(host, Math.min(at, now))
  }

  #start(host: string, work: () => Promise<unknown>): void {
    if (this.#busy.has(host) || this.#parts.closing.aborted) return
    this.#busy.add(host)
    void work().finally(() => this.#busy.delete(host))
  }

  /** Compares with the store what is not due, and sees to what is. Never rejects. */
  async #care(live: LiveCertificate): Promise<void> {
    const { certificates, clock } = this.#parts
    let current = live
    // A renewal looks at the store, too.
    live.schedule.markChecked(clock.now())
    try {
      if (clock.now() < live.schedule.attemptAt) current = (await certificates.refresh(live.host)) ?? live
      await this.#attend(current)
    } catch {
      // The store has reported it; the next check will tell.
    }
    this.#arm(current.schedule.idleWakeAt)
  }

  /** Takes over the CA's wish, and replaces what is due. Rejects if the store could not tell the wish, and nothing is due. */
  async #attend(live: LiveCertificate): Promise<void> {
    const { certificates, clock, suggestion } = this.#parts
    const { schedule } = live
    const isDue = () => clock.now() >= schedule.attemptAt
    // Whoever has just started knows nothing of it; it may be for a later time than this machine's own.
    const isNews = !isDue() || !schedule.windowFetched
    try {
      if (isNews) certificates.suggest(live, await suggestion(live))
    } catch (thrown) {
      if (!isDue()) throw thrown
    }
    if (isDue()) await certificates.renew(live)
  }

  /** A host that is not in memory any more, or could not be had, in its turn. */
  async #bringBack(host: string): Promise<void> {
    const { certificates } = this.#parts
    if (this.#orderRate.waitMs > 0) return this.#lookAgain(host, this.#orderRate.waitMs)
    const whenFound = (live: LiveCertificate) => this.#attend(live)
    await this.#bring(host, whenFound, async () => {
      const ms = this.#orderRate.tryAcquire()
      return ms > 0 ? ms : this.#restOf(await certificates.obtain(host))
    })
  }

  /** Gets a host from memory or the store, else as `whenMissing` does, and looks again after the time that it says. */
  async #bring(
    host: string,
    whenFound: (live: LiveCertificate) => Promise<void>,
    whenMissing: () => Promise<number>,
  ): Promise<Error | undefined> {
    const { certificates, clock } = this.#parts
    try {
      const live = await certificates.find(host)
      if (!live) return this.#lookAgain(host, await whenMissing()) as undefined
      await whenFound(live)
      return this.#lookAgain(host, this.#restOf(live)) as undefined
    } catch (thrown) {
      const error = toError(thrown)
      const { problem, retryAt } = error instanceof IssuanceError ? error : {}
      if (problem?.type.endsWith(':rateLimited')) this.#orderRate.drain()
      const forbidden = error instanceof HostError && !error.cause
      this.#lookAgain(
        host,
        forbidden ? absentMs : Math.max((retryAt?.getTime() ?? 0) - clock.now(), failedMs),
      )
      return error
    }
  }

  /** How long a kept host can do without a look, should memory have no room for it. */
  #restOf({ schedule }: LiveCertificate): number {
    return Math.min(schedule.idleWakeAt - this.#parts.clock.now(), absentMs)
  }

  /** For a host that is not in memory then. */
  #lookAgain(host: string, ms: number): void {
    const at = this.#parts.clock.now() + ms
    this.#kept.set(host, at)
    this.#arm(at)
  }

  #wait(ms: number): Promise<void> {
    const { clock, closing } = this.#parts
    return sleep(ms, clock, closing)
  }
}

async function inParallel(hosts: readonly string[], work: (host: string) => Promise<void>): Promise<void> {
  const waiting = hosts.values()
  const worker = async () => {
    for (const host of waiting) await work(host)
  }
  await Promise.all(Array.from({ length: concurrency }, worker))
}
