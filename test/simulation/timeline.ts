import { setImmediate as turn } from 'node:timers/promises'
import type { Clock } from '../../src/index.js'

interface Timer {
  readonly at: number
  readonly order: number
  readonly fn: () => void
  wanted: boolean
}

/** After so many timers the event loop has a turn: whoever waits outside of virtual time is not to starve. */
const turnEvery = 1_000

/** Virtual time for a whole world: a heap of timers, which fire one by one in their order. */
export class Timeline {
  now = Date.parse('2027-01-01T00:00:00Z')
  readonly #heap: Timer[] = []
  #count = 0

  at(at: number, fn: () => void): () => void {
    const timer = { at: Math.max(at, this.now), order: this.#count++, fn, wanted: true }
    this.#push(timer)
    return () => {
      timer.wanted = false
    }
  }

  after(ms: number, fn: () => void): () => void {
    return this.at(this.now + ms, fn)
  }

  wait(ms: number): Promise<void> {
    return new Promise((resolve) => this.after(ms, resolve))
  }

  /** A machine's view, `aheadMs` ahead of the others; its timers go when it is killed. */
  clock(aheadMs: number, isAlive: () => boolean): Clock {
    return {
      now: () => Math.round(this.now + aheadMs),
      after: (ms, fn) => this.after(ms, () => isAlive() && fn()),
    }
  }

  /** Fires all timers up to `end`, each when everything that the former started has come to its next timer. */
  async run(end: number, isOver: () => boolean): Promise<void> {
    for (let count = 1; ; count++) {
      const timer = this.#heap[0]
      if (!timer || timer.at > end || isOver()) return
      this.#pop()
      if (!timer.wanted) continue
      this.now = timer.at
      timer.fn()
      // After the last of the promises; cheaper than a turn.
      await new Promise<void>((resolve) => process.nextTick(resolve))
      if (count % turnEvery === 0) await turn()
    }
  }

  #push(timer: Timer): void {
    const heap = this.#heap
    let index = heap.push(timer) - 1
    while (index > 0) {
      const parent = (index - 1) >> 1
      if (isBefore(heap[parent]!, timer)) break
      heap[index] = heap[parent]!
      index = parent
    }
    heap[index] = timer
  }

  #pop(): void {
    const heap = this.#heap
    const last = heap.pop()!
    if (heap.length === 0) return
    let index = 0
    for (;;) {
      let child = 2 * index + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child += 1
      if (isBefore(last, heap[child]!)) break
      heap[index] = heap[child]!
      index = child
    }
    heap[index] = last
  }
}

const isBefore = (a: Timer, b: Timer) => a.at < b.at || (a.at === b.at && a.order < b.order)
