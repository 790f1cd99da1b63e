import { abortable } from '../util/deadline.js'

/** A read that all callers with the same key share. */
interface Read<V> {
  readonly value: Promise<V>
  /** Set by a write to the key: the value read may be older than the write. */
  isStale: boolean
  /** Callers that have not used the value yet. */
  waiting: number
  isSettled: boolean
}

/** Reads values, with at most one read per key at a time. */
export class SharedReads<V> {
  readonly #reads = new Map<string, Read<V>>()

  /**
   * Calls `load`, or joins a running call for the key; starts again if it was invalidated meanwhile. Calls `use` in the
   * tick in which the value is known to be current, so that no write can come between. Aborting `signal` ends this
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
      read.waiting += 1
      try {
        const value = await abortable(read.value, signal)
        if (!read.isStale) return use(value)
      } finally {
        read.waiting -= 1
        this.#forgetIfDone(key, read)
      }
    }
  }

  /** Makes a read in progress start again. Call this when the stored value changes. */
  invalidate(key: string): void {
    const read = this.#reads.get(key)
    if (!read) return
    read.isStale = true
    this.#reads.delete(key)
  }

  #start(key: string, load: () => Promise<V>): Read<V> {
    const value = load().finally(() => {
      read.isSettled = true
      this.#forgetIfDone(key, read)
    })
    const read: Read<V> = { value, isStale: false, waiting: 0, isSettled: false }
    this.#reads.set(key, read)
    return read
  }

  /** A settled read stays until its callers have used the value: a write must make it stale until then. */
  #forgetIfDone(key: string, read: Read<V>): void {
    if (read.isSettled && read.waiting === 0 && this.#reads.get(key) === read) this.#reads.delete(key)
  }
}
