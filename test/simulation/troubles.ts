import type { Timeline } from './timeline.js'
import { hour } from './units.js'

interface Outage {
  readonly from: number
  readonly to: number
  readonly ca: boolean
  readonly store: boolean
}

/** What is down, in turn: of each there is some in a short time, too. */
const kinds = ['ca', 'store', 'both', 'ca', 'store', 'both', 'ca'] as const

/** When the CA, the store or both are down. */
export class Troubles {
  readonly #outages: Outage[] = []
  #isAwaited = false

  private readonly time: Timeline
  private readonly lifetimeMs: number
  private readonly random: () => number

  constructor(time: Timeline, lifetimeMs: number, random: () => number) {
    this.time = time
    this.lifetimeMs = lifetimeMs
    this.random = random
  }

  get caIsDown(): boolean {
    return this.#now?.ca ?? false
  }

  get storeIsDown(): boolean {
    return this.#now?.store ?? false
  }

  /** How many there have been. */
  count(what: 'ca' | 'store'): number {
    return this.#outages.filter((outage) => outage[what]).length
  }

  /** Whether one of these was down at some time between. */
  between(from: number, to: number, which: ReadonlyArray<'ca' | 'store'> = ['ca', 'store']): boolean {
    for (let index = this.#outages.length - 1; index >= 0; index--) {
      const outage = this.#outages[index]!
      if (outage.to < from) return false
      if (outage.from <= to && which.some((what) => outage[what])) return true
    }
    return false
  }

  /** From now on there is one outage after the other, each after a while of peace. */
  begin(): void {
    const { time, lifetimeMs } = this
    this.#isAwaited = true
    time.after(lifetimeMs / 8, () => this.#strike())
  }

  /** An order arrives at the CA, and takes so long: most outages come in the midst of one. */
  duringOrder(lasts: number): void {
    if (this.#isAwaited) this.time.after(lasts * this.random(), () => this.#strike())
  }

  #strike(): void {
    if (!this.#isAwaited) return
    this.#isAwaited = false
    const { time, lifetimeMs, random } = this
    const kind = kinds[this.#outages.length % kinds.length]!
    const ca = kind !== 'store'
    const store = kind !== 'ca'
    const longest = store ? Math.min(12 * hour, lifetimeMs / 4) : lifetimeMs / 4
    const to = time.now + longest * (1 - random() ** 2) // rather long than short
    this.#outages.push({ from: time.now, to, ca, store })
    const peace = lifetimeMs * (1 / 6 + random())
    time.at(to + peace, () => this.begin())
  }

  get #now(): Outage | undefined {
    const last = this.#outages.at(-1)
    return last && this.time.now < last.to ? last : undefined
  }
}
