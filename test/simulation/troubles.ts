import type { Timeline } from './timeline.js'
import { hour } from './units.js'

interface Outage {
  readonly from: number
  readonly to: number
  readonly ca: boolean
  readonly store: boolean
}

/** What is down, in rotation, so that even a short run has every kind. */
const kinds = ['ca', 'store', 'both', 'ca', 'store', 'both', 'ca'] as const

/** Outages of the CA, the store or both. */
export class Troubles {
  readonly #outages: Outage[] = []
  #isDue = false

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

  /** Counts the outages of a service. */
  count(service: 'ca' | 'store'): number {
    return this.#outages.filter((outage) => outage[service]).length
  }

  /** Whether one of the services was down at any time between `from` and `to`. */
  between(from: number, to: number, services: ReadonlyArray<'ca' | 'store'> = ['ca', 'store']): boolean {
    for (let index = this.#outages.length - 1; index >= 0; index--) {
      const outage = this.#outages[index]!
      if (outage.to < from) return false
      if (outage.from <= to && services.some((service) => outage[service])) return true
    }
    return false
  }

  /** Starts a sequence of outages with pauses between them. */
  begin(): void {
    const { time, lifetimeMs } = this
    this.#isDue = true
    time.after(lifetimeMs / 8, () => this.#startOutage())
  }

  /** Starts a due outage during an order, as most outages do. @param durationMs of the order */
  duringOrder(durationMs: number): void {
    if (this.#isDue) this.time.after(durationMs * this.random(), () => this.#startOutage())
  }

  #startOutage(): void {
    if (!this.#isDue) return
    this.#isDue = false
    const { time, lifetimeMs, random } = this
    const kind = kinds[this.#outages.length % kinds.length]!
    const ca = kind !== 'store'
    const store = kind !== 'ca'
    const maxMs = store ? Math.min(12 * hour, lifetimeMs / 4) : lifetimeMs / 4
    const to = time.now + maxMs * (1 - random() ** 2) // more often long than short
    this.#outages.push({ from: time.now, to, ca, store })
    const pauseMs = lifetimeMs * (1 / 6 + random())
    time.at(to + pauseMs, () => this.begin())
  }

  get #now(): Outage | undefined {
    const last = this.#outages.at(-1)
    return last && this.time.now < last.to ? last : undefined
  }
}
