import type { RenewalWindow } from '../../src/certificates/renewal-time.js'
import type { Timeline } from './timeline.js'
import type { Troubles } from './troubles.js'
import { day, hour, minute } from './units.js'

/** A certificate that the CA has made. */
export interface Issued {
  readonly host: string
  /** As the CA gave it: by this it is found again. */
  readonly chain: string
  readonly notBefore: number
  readonly notAfter: number
  /** The CA's wish for its replacement, if it has one. */
  readonly window: RenewalWindow | undefined
  /** When it is to be replaced, with or without such a wish. */
  readonly due: RenewalWindow
  /** The store has it. */
  isStored: boolean
  /** It never reached its machine, or died with it. What that had sent to the store may still arrive there. */
  isLost: boolean
  /** An operator has ordered it, before it was due. */
  readonly isByHand: boolean
}

/** How far the machines' clocks are off at most: they differ by twice as much. */
export const clockErrorMs = minute
/** Who could not ask the CA asks again in 6 hours, and goes by the lifetime until then. */
const unaskedMs = 7 * hour
/** A host that is due is worked on by then: when it is looked at next, or asked for next. */
const lateMs = 12 * hour
/** What no handshake asks for is compared with the store every 6 hours. */
const adoptedMs = 8 * hour
/** After an outage it is a matter of when the failed renewals are tried again: daily, far from the end. */
const afterOutageMs = 1.5 * day

/** A run that breaks so many promises has said enough. */
const enough = 10

/** Every certificate that was made, and what is promised about them: checked as time goes by. */
export class Ledger {
  /** What was promised and not kept. */
  readonly broken: string[] = []
  readonly #byHost = new Map<string, Issued[]>()
  readonly #byChain = new Map<string, Issued>()
  readonly #reported = new Set<Issued>()

  private readonly time: Timeline
  private readonly troubles: Troubles
  /** Whether it is in some machine's memory at any time, or looked for by one. */
  private readonly isMinded: (host: string) => boolean

  constructor(time: Timeline, troubles: Troubles, isMinded: (host: string) => boolean) {
    this.isMinded = isMinded
    this.time = time
    this.troubles = troubles
  }

  add(issued: Issued): void {
    const { host, chain } = issued
    this.#byChain.set(chain, issued)
    this.#byHost.set(host, [...(this.#byHost.get(host) ?? []), issued])
  }

  /** All but those that were lost with their machine: for the others they were never made. */
  of(host: string): readonly Issued[] {
    return (this.#byHost.get(host) ?? []).filter(isThere)
  }

  get lost(): number {
    return [...this.#byChain.values()].filter((issued) => !isThere(issued)).length
  }

  /** @param data as stored: the key, then the chain */
  find(data: Uint8Array): Issued | undefined {
    const text = Buffer.from(data).toString('latin1')
    return this.#byChain.get(text.slice(text.indexOf('-----BEGIN CERTIFICATE-----')))
  }

  /** There is no use in going on. */
  get isHopeless(): boolean {
    return this.broken.length >= enough
  }

  fail(host: string, what: string): void {
    this.broken.push(`${host} on ${new Date(this.time.now).toISOString()}: ${what}`)
  }

  /** Whether nobody has a reason to be at work on it: it is neither new nor due. */
  isAtRest(host: string): boolean {
    const { time } = this
    const newest = this.#byHost.get(host)?.at(-1)
    return !!newest?.isStored && newest.notBefore + hour < time.now && time.now + day < newest.due.start
  }

  /** An order arrives at the CA: not before its time, as far as its time could be known. */
  ordering(host: string): void {
    const { time, troubles } = this
    const former = this.#byHost.get(host)?.findLast(isThere)
    if (!former || time.now >= former.due.start - clockErrorMs) return
    if (troubles.between(time.now - unaskedMs, time.now)) return
    this.fail(host, `ordered before the time, ${new Date(former.due.start).toISOString()}`)
  }

  /** A machine has a certificate ready: not for long after the store has a newer one. */
  serving(host: string, notBefore: number): void {
    const { time, troubles } = this
    const newest = this.#byHost.get(host)?.findLast(isThere)
    if (!newest?.isStored || notBefore >= newest.notBefore || this.#reported.has(newest)) return
    const lastTime = newest.notBefore + adoptedMs
    if (time.now < lastTime || troubles.between(time.now - adoptedMs, time.now)) return
    this.#reported.add(newest)
    this.fail(host, 'replaced, and still served')
  }

  /** Whatever happens, no host's newest certificate expires; and it is replaced in time if nothing happens. */
  check(): void {
    const { time, troubles } = this
    for (const issued of this.#byHost.values()) {
      const newest = issued.findLast(isThere)
      if (!newest || this.#reported.has(newest)) continue
      const { host, notBefore, notAfter, due } = newest
      // An early wish is not known to a machine that has but read the certificate for a handshake.
      const byLifetime = notBefore + (notAfter - notBefore) * 0.69
      const lastTime = (this.isMinded(host) ? due.end : Math.max(due.end, byLifetime)) + lateMs
      const isLate = time.now > lastTime && !troubles.between(due.start - afterOutageMs, lastTime)
      if (time.now < notAfter && !isLate) continue
      this.#reported.add(newest)
      this.fail(host, isLate ? 'not renewed in time' : 'not renewed before it expired')
    }
  }
}

const isThere = ({ isStored, isLost }: Issued) => isStored || !isLost
