import { abortable } from '../util/deadline.js'

/** A read that all callers with the same key share. */
interface Read<V> {
  readonly value: Promise<V>
  /** Set by a write to the key: the value read may be older than the write. */
  isStale: boolean
}

/** Reads values, with at most one read per key at a time. */
export class SharedReads<V> {
  // Holds an entry only while its read is pending.
  readonly #reads = new Map<string, Read<V>>()

  /**
   * Calls `load`, or joins a running call for the key; again if the read was invalidated meanwhile. Calls `use` in the
   * same tick in which the value is known to be current, so that no write can come between. Aborting `signal` ends this
   * caller's wait, not the read.
   */
  async read<T>(
    key: string,
    load: () => Promise<V>,
    signal: AbortSignal | undefined,
    use: (value: V) => T,
  ): Promise<T> {
    for (;;) {
      const read = this.#reads.get(key) ?? this.#start(key, load)
      const value = await abortable(read.value, signal)
      if (!read.isStale) return use(value)
    }
  }

  /** Makes a read in progress start again. Call this when the stored value changes. */
  invalidate(key: string): void {
    const read = this.#reads.get(key)
    if (read) read.isStale = true
    this.#reads.delete(key)
  }

  #start(key: string, load: () => Promise<V>): Read<V> {
    const value = load().finally(() => {
      if (this.#reads.get(key) === read) this.#reads.delete(key)
    })
    const read: Read<V> = { value, isStale: false }
    this.#reads.set(key, read)
    return read
  }
}
