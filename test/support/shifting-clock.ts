import { type Clock, systemClock } from '../../src/clock.js'

/** Time that passes as it does, and jumps when told to: for tests with real sockets. */
export class ShiftingClock implements Clock {
  #shift = 0
  readonly #timers = new Set<{ at: number; fire: () => void }>()

  readonly now = () => Date.now() + this.#shift

  after(ms: number, fn: () => void, options?: { keepAlive?: boolean }) {
    const cancel = () => {
      this.#timers.delete(timer)
      cancelReal()
    }
    const fire = () => {
      cancel()
      fn()
    }
    const timer = { at: this.now() + ms, fire }
    const cancelReal = systemClock.after(ms, fire, options)
    this.#timers.add(timer)
    return cancel
  }

  /** The timers that fall due fire in their order, within this call. */
  jump(ms: number) {
    this.#shift += ms
    const due = [...this.#timers].filter(({ at }) => at <= this.now()).sort((a, b) => a.at - b.at)
    for (const { fire } of due) fire()
  }
}
