import type { CertCacheLock, LockingCertCache } from '../../src/index.js'
import { LockLostError } from '../../src/index.js'
import { MemoryStore } from './memory-store.js'

/** A MemoryStore with locks, which the test can take away. */
export class LockingStore extends MemoryStore implements LockingCertCache {
  readonly #held = new Map<string, AbortController>()

  async tryLock(name: string): Promise<CertCacheLock | undefined> {
    await this.enter('lock', name)
    if (this.#held.has(name)) return undefined
    const lost = new AbortController()
    this.#held.set(name, lost)
    return {
      signal: lost.signal,
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
    this.#held.get(name)?.abort(new LockLostError(`the lock of ${name} is lost`))
    this.#held.delete(name)
  }
}
