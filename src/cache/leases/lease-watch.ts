import { LRUCache } from 'lru-cache'
import { leaseMs } from './lease.js'

/** Watches other holders' locks by this machine's monotonic clock. Never compares the clocks of two machines. */
export class LeaseWatch {
  // If an entry is evicted, the 30 s of its lock start again.
  readonly #locks = new LRUCache<string, { version: string; since: number }>({ max: 1_000 })

  /**
   * Returns whether the lock was not renewed for a whole lease: its holder has given up earlier.
   * @param version changes with each renewal
   */
  hasExpired(name: string, version: string): boolean {
    const now = performance.now()
    const watched = this.#locks.get(name)
    if (watched?.version === version) return now - watched.since >= leaseMs
    // The version was written earlier than now, so its holder gives up less than one lease from now.
    this.#locks.set(name, { version, since: now })
    return false
  }

  /** Forgets a lock: its 30 s start again. */
  forget(name: string): void {
    this.#locks.delete(name)
  }
}
