import type { CertCacheLock, LockingCertCache } from '../../src/index.js'
import { LockLostError } from '../../src/index.js'
import { MemoryStore } from './memory-store.js'

/** A MemoryStore with locks, which the test can take away. */
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

  /** The lock ends; whoever held it is told. */
  lose(name: string) {
    this.#held.get(name)?.abort(lockLost(name))
    this.#held.delete(name)
  }

  /** As while the whole process is stopped: the lock says so when it is asked, but it has told nobody yet. */
  loseUnnoticed(name: string) {
    const lost = this.#held.get(name)
    if (lost) this.#lostUnnoticed.add(lost)
    this.#held.delete(name)
  }
}

const lockLost = (name: string) => new LockLostError(`the lock of ${name} is lost`)
