/** A clock that follows real time and can jump, for tests with real sockets or child processes. */
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
   * Shifts the time as when the system clock is set: timers still fire after their real duration.
   * @param {number} ms
   */
  set(ms) {
    this.#shift += ms
    for (const timer of this.#timers) timer.at += ms
  }

  /**
   * Advances the time; due timers fire in order during this call.
   * @param {number} ms
   */
  jump(ms) {
    this.#shift += ms
    const due = [...this.#timers].filter(({ at }) => at <= this.now()).sort((a, b) => a.at - b.at)
    for (const { fire } of due) fire()
  }
}
