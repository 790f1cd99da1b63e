import { abortable } from '../util/deadline.js'
import type { CertCache } from './cert-cache.js'

/** A store read that all callers with the same key share. */
interface Read {
  readonly value: Promise<Uint8Array | undefined>
  /** Set by a write to the key: the value read may be older than the write. */
  isStale: boolean
}

/** Reads a store, with at most one read per key at a time. */
export class SharedReads {
  // Holds an entry only while its read is pending.
  readonly #reads = new Map<string, Read>()
  readonly #store: CertCache

  constructor(store: CertCache) {
    this.#store = store
  }

  /**
   * Reads the value, and reads again if it was invalidated during the read. Calls `use` in the same tick in which the
   * value is known to be current, so that no write can come between. Aborting `signal` ends this caller's wait, not the
   * read.
   */
  async read<T>(
    key: string,
    signal: AbortSignal | undefined,
    use: (data: Uint8Array | undefined) => T,
  ): Promise<T> {
    for (;;) {
      const read = this.#reads.get(key) ?? this.#start(key)
      const data = await abortable(read.value, signal)
      if (!read.isStale) return use(data)
    }
  }

  /** Makes a read in progress start again. Call this when the value in the store changes. */
  invalidate(key: string): void {
    const read = this.#reads.get(key)
    if (!read) return
    read.isStale = true
    this.#reads.delete(key)
  }

  #start(key: string): Read {
    const value = Promise.resolve(this.#store.get(key)).finally(() => {
      if (this.#reads.get(key) === read) this.#reads.delete(key)
    })
    const read: Read = { value, isStale: false }
    this.#reads.set(key, read)
    return read
  }
}
