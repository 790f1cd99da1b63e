import { type CertCacheLock, type LockingCertCache, StoreError } from '../../src/index.js'
import { Leases } from './leases.js'
import type { Ledger } from './ledger.js'
import type { Machine } from './machine.js'
import type { Timeline } from './timeline.js'
import type { Troubles } from './troubles.js'
import { second } from './units.js'

/** Every 12th put of a certificate fails. */
const putsPerFailure = 12

/** The store that the machines share, with latency, outages and failed writes. */
export class SimulatedStore {
  puts = 0
  failedPuts = 0
  readonly leases: Leases
  readonly #values = new Map<string, Uint8Array>()

  private readonly parts: {
    readonly time: Timeline
    readonly troubles: Troubles
    readonly ledger: Ledger
    readonly random: () => number
  }

  constructor(parts: {
    readonly time: Timeline
    readonly troubles: Troubles
    readonly ledger: Ledger
    readonly random: () => number
  }) {
    this.parts = parts
    this.leases = new Leases(parts.time, parts.troubles)
  }

  /** Stores a certificate for the operator. */
  putManually(key: string, data: Uint8Array): void {
    const issued = this.parts.ledger.find(data)
    if (issued) issued.isStored = true
    this.#values.set(key, data)
  }

  for(machine: Machine): LockingCertCache {
    /** Serves a request that has arrived, even if its machine dies before the reply. */
    const request = async <T>(serve: () => T): Promise<T> => {
      await machine.alive()
      await this.#latency()
      if (this.parts.troubles.storeIsDown) {
        await machine.alive()
        throw new StoreError('ERR_STORE_UNREACHABLE', 'the store is down')
      }
      const result = serve()
      await machine.alive()
      return result
    }
    return {
      get: (key) => request(() => this.#values.get(key)?.slice()),
      put: (key, data) => request(() => this.#put(key, data, machine)),
      delete: (key) => request(() => void this.#values.delete(key)),
      tryLock: (name): Promise<CertCacheLock | undefined> =>
        request(() => this.leases.tryAcquire(name, machine, request)),
    }
  }

  #put(key: string, data: Uint8Array, machine: Machine): void {
    const issued = this.parts.ledger.find(data)
    const fails = issued !== undefined && ++this.puts % putsPerFailure === 0
    // In half of the failures, only the reply is lost.
    if (!fails || this.parts.random() < 0.5) {
      this.#values.set(key, data.slice())
      if (issued) {
        issued.isStored = true
        machine.unstored.delete(issued)
      }
    }
    if (!fails) return
    this.failedPuts += 1
    throw new StoreError('ERR_STORE_UNREACHABLE', 'the put failed')
  }

  #latency(): Promise<void> {
    const { time, random } = this.parts
    const usualMs = 2 + 18 * random()
    return time.wait(random() < 0.05 ? 20 * usualMs : random() < 0.002 ? 3 * second : usualMs)
  }
}
