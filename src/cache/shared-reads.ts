import { abortable } from '../util/deadline.js'
import { SingleFlight } from '../util/single-flight.js'

/** Reads values, with at most one read per key at a time. */
export class SharedReads<V> {
  readonly #reads = new SingleFlight<V>()
  /** Pending reads that started before a write to their key: they may return an older value. */
  readonly #stale = new WeakSet<Promise<V>>()

  /**
   * Calls `load`, or joins a running call for the key, and repeats this while a write makes the read stale. Calls `use`
   * in the same tick in which the value is known to be current, so that no write can come between. Aborting `signal`
   * ends this caller's wait, not the read.
   */
  async read<T>(
    key: string,
    load: () => Promise<V>,
    signal: AbortSignal | undefined,
    use: (value: V) => T,
  ): Promise<T> {
    for (;;) {
      const read = this.#reads.run(key, load)
      const result = read.then((value) => !this.#stale.has(read) && !signal?.aborted && { used: use(value) })
      const current = await abortable(result, signal)
      if (current) return current.used
    }
  }

  /** Makes a read in progress start again. Call this when the stored value changes. */
  invalidate(key: string): void {
    const read = this.#reads.forget(key)
    if (read) this.#stale.add(read)
  }
}
