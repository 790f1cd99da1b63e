import type { CertCacheLock, LockingCertCache } from '../../src/index.js'
import { LockLostError } from '../../src/index.js'
import { MemoryStore } from './memory-store.js'

/** A MemoryStore with locks that the test can end. */
export class LockingStore extends MemoryStore implements LockingCertCache {
  readonly #held = new Map<string, AbortController>()
  readonly #lostUnnoticed = new Set<AbortController>()

  async tryLock(name: string): Promise<CertCacheLock | undefined> {
    await this.enter('lock', name)
    if (this.#held.has(name)) return undefined
    const lost = new AbortController()
    this.#held.set(name, lost)
    const unnoticed = this.#lostUnnoticed
    return {
      get signal() {
        return unnoticed.has(lost) ? AbortSignal.abort(lockLost(name)) : lost.signal
      },
      release: async () => {
        await this.enter('unlock', name)
        if (this.#held.get(name) === lost) this.#held.delete(name)
      },
    }
  }

  held(name: string): boolean {
    return this.#held.has(name)
  }

  /** Ends a lock and aborts its holder's signal. */
  lose(name: string) {
    this.#held.get(name)?.abort(lockLost(name))
    this.#held.delete(name)
  }

  /** Ends a lock as while the process is stopped: only a later read of `signal` returns an aborted signal. */
  loseUnnoticed(name: string) {
    const lost = this.#held.get(name)
    if (lost) this.#lostUnnoticed.add(lost)
    this.#held.delete(name)
  }
}

const lockLost = (name: string) => new LockLostError(`the lock of ${name} is lost`)
