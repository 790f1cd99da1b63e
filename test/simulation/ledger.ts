import type { RenewalWindow } from '../../src/certificates/renewal-time.js'
import type { Timeline } from './timeline.js'
import type { Troubles } from './troubles.js'
import { day, hour, minute } from './units.js'

/** A certificate that the CA has issued. */
export interface Issued {
  readonly host: string
  /** The PEM chain from the CA, which identifies the certificate. */
  readonly chain: string
  readonly notBefore: number
  readonly notAfter: number
  /** The suggested renewal window, if the CA has one. */
  readonly window: RenewalWindow | undefined
  /** When the certificate must be replaced, with or without a suggested window. */
  readonly due: RenewalWindow
  isStored: boolean
  /** The certificate never reached its machine, or was lost with it. A put under way may still store it. */
  isLost: boolean
  /** Ordered by the operator, before the due date. */
  readonly isManual: boolean
}

/** The maximum error of a machine's clock. */
export const clockErrorMs = minute
/** A machine that cannot fetch renewalInfo retries in 6 hours and uses the lifetime until then. */
const renewalInfoRetryMs = 7 * hour
/** The time within which the scheduler or a handshake renews a due host. */
const maxDelayMs = 12 * hour
/** A machine compares its certificates with the store every 6 hours. */
const maxAdoptionMs = 8 * hour
/** Failed renewals are retried daily while the certificate is far from expiry. */
const afterOutageMs = 1.5 * day

/** A run stops after this many violations. */
const maxViolations = 10

/** Records all certificates, and checks the guarantees as time passes. */
export class Ledger {
  readonly violations: string[] = []
  readonly #byHost = new Map<string, Issued[]>()
  readonly #byChain = new Map<string, Issued>()
  readonly #reported = new Set<Issued>()

  private readonly time: Timeline
  private readonly troubles: Troubles
  /** Whether a machine always has the host in memory, or keeps it. */
  private readonly isWatched: (host: string) => boolean

  constructor(time: Timeline, troubles: Troubles, isWatched: (host: string) => boolean) {
    this.isWatched = isWatched
    this.time = time
    this.troubles = troubles
  }

  add(issued: Issued): void {
    const { host, chain } = issued
    this.#byChain.set(chain, issued)
    this.#byHost.set(host, [...(this.#byHost.get(host) ?? []), issued])
  }

  /** Returns the certificates of a host, without those that were lost with their machine. */
  of(host: string): readonly Issued[] {
    return (this.#byHost.get(host) ?? []).filter(isUsable)
  }

  get lost(): number {
    return [...this.#byChain.values()].filter((issued) => !isUsable(issued)).length
  }

  /** Finds a certificate by its stored bytes: the key, then the chain. */
  find(data: Uint8Array): Issued | undefined {
    const text = Buffer.from(data).toString('latin1')
    return this.#byChain.get(text.slice(text.indexOf('-----BEGIN CERTIFICATE-----')))
  }

  get isFull(): boolean {
    return this.violations.length >= maxViolations
  }

  fail(host: string, violation: string): void {
    this.violations.push(`${host} on ${new Date(this.time.now).toISOString()}: ${violation}`)
  }

  /** Whether no machine has work for this host: its certificate is neither new nor due. */
  isAtRest(host: string): boolean {
    const { time } = this
    const newest = this.#byHost.get(host)?.at(-1)
    return !!newest?.isStored && newest.notBefore + hour < time.now && time.now + day < newest.due.start
  }

  /** Checks that an order does not arrive before the due date, if the machine could know that date. */
  ordering(host: string): void {
    const { time, troubles } = this
    const previous = this.#byHost.get(host)?.findLast(isUsable)
    if (!previous || time.now >= previous.due.start - clockErrorMs) return
    if (troubles.between(time.now - renewalInfoRetryMs, time.now)) return
    this.fail(host, `ordered before the time, ${new Date(previous.due.start).toISOString()}`)
  }

  /** Checks that a machine serves no certificate for which the store has long had a newer one. */
  serving(host: string, notBefore: number): void {
    const { time, troubles } = this
    const newest = this.#byHost.get(host)?.findLast(isUsable)
    if (!newest?.isStored || notBefore >= newest.notBefore || this.#reported.has(newest)) return
    const deadline = newest.notBefore + maxAdoptionMs
    if (time.now < deadline || troubles.between(time.now - maxAdoptionMs, time.now)) return
    this.#reported.add(newest)
    this.fail(host, 'replaced, and still served')
  }

  /** Checks that no host's newest certificate expires, and that it is replaced in time unless there was an outage. */
  check(): void {
    const { time, troubles } = this
    for (const issued of this.#byHost.values()) {
      const newest = issued.findLast(isUsable)
      if (!newest || this.#reported.has(newest)) continue
      const { host, notBefore, notAfter, due } = newest
      // A machine that only loaded the certificate for a handshake does not know its suggested window.
      const byLifetime = notBefore + (notAfter - notBefore) * 0.69
      const deadline = (this.isWatched(host) ? due.end : Math.max(due.end, byLifetime)) + maxDelayMs
      const isLate = time.now > deadline && !troubles.between(due.start - afterOutageMs, deadline)
      if (time.now < notAfter && !isLate) continue
      this.#reported.add(newest)
      this.fail(host, isLate ? 'not renewed in time' : 'not renewed before it expired')
    }
  }
}

const isUsable = ({ isStored, isLost }: Issued) => isStored || !isLost
