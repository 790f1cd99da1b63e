/**
 * Time that passes as it does, and jumps when told to: for tests with real sockets, and for their processes.
 * A Clock of the library.
 */
export class ShiftingClock {
  #shift = 0
  /** @type {Set<{ at: number, fire: () => void }>} */
  #timers = new Set()

  now = () => Date.now() + this.#shift

  /**
   * @param {number} ms
   * @param {() => void} fn
   * @param {{ keepAlive?: boolean }} [options]
   */
  after(ms, fn, options) {
    const cancel = () => {
      this.#timers.delete(timer)
      clearTimeout(real)
    }
    const fire = () => {
      cancel()
      fn()
    }
    const timer = { at: this.now() + ms, fire }
    const real = setTimeout(fire, ms)
    if (!options?.keepAlive) real.unref()
    this.#timers.add(timer)
    return cancel
  }

  /**
   * As when the system's clock is set: timers don't notice.
   * @param {number} ms
   */
  set(ms) {
    this.#shift += ms
    for (const timer of this.#timers) timer.at += ms
  }

  /**
   * The timers that fall due fire in their order, within this call.
   * @param {number} ms
   */
  jump(ms) {
    this.#shift += ms
    const due = [...this.#timers].filter(({ at }) => at <= this.now()).sort((a, b) => a.at - b.at)
    for (const { fire } of due) fire()
  }
}
