/**
 * Time that stands still until the test advances it, for managers with real sockets: however busy the machine is, no
 * deadline passes by itself. Pauses of work in progress, such as those between two polls, pass at once.
 * A Clock of the library.
 */
export class StillClock {
  #now = Date.now()
  /** @type {Set<{ at: number, fn: () => void }>} */
  #timers = new Set()

  now = () => this.#now

  /**
   * @param {number} ms
   * @param {() => void} fn
   * @param {{ keepAlive?: boolean }} [options]
   */
  after(ms, fn, options) {
    if (options?.keepAlive) {
      const pause = setTimeout(fn, 0)
      return () => clearTimeout(pause)
    }
    const timer = { at: this.#now + ms, fn }
    this.#timers.add(timer)
    return () => void this.#timers.delete(timer)
  }

  /** Timers that are neither due nor cancelled. */
  get pending() {
    return this.#timers.size
  }

  /**
   * Lets `ms` pass; timers fire in their order.
   * @param {number} ms
   */
  advance(ms) {
    const end = this.#now + ms
    for (;;) {
      const [due] = [...this.#timers].filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)
      if (!due) break
      this.#timers.delete(due)
      this.#now = Math.max(this.#now, due.at)
      due.fn()
    }
    this.#now = end
  }
}
