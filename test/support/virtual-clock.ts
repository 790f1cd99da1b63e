import type { Clock } from '../../src/index.js'

/** A clock whose time passes only through {@link advance}. */
export class VirtualClock implements Clock {
  #now: number
  #timers = new Set<{ at: number; fn: () => void }>()

  constructor(start = Date.now()) {
    this.#now = start
  }

  now() {
    return this.#now
  }

  after(ms: number, fn: () => void) {
    const timer = { at: this.#now + ms, fn }
    this.#timers.add(timer)
    return () => void this.#timers.delete(timer)
  }

  get pending() {
    return this.#timers.size
  }

  /** Advances the time; due timers fire in order. */
  advance(ms: number) {
    const end = this.#now + ms
    for (;;) {
      const due = [...this.#timers].filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0]
      if (!due) break
      this.#timers.delete(due)
      this.#now = Math.max(this.#now, due.at)
      due.fn()
    }
    this.#now = end
  }
}
