import { setImmediate as turn } from 'node:timers/promises'
import type { Clock } from '../../src/index.js'

interface Timer {
  readonly at: number
  readonly order: number
  readonly fn: () => void
  isCancelled: boolean
}

/** The number of timers after which the event loop gets a turn, so that work outside virtual time proceeds. */
const timersPerTurn = 1_000

/** Virtual time: a heap of timers, which fire one after the other in order. */
export class Timeline {
  now = Date.parse('2027-01-01T00:00:00Z')
  readonly #heap: Timer[] = []
  #count = 0

  at(at: number, fn: () => void): () => void {
    const timer = { at: Math.max(at, this.now), order: this.#count++, fn, isCancelled: false }
    this.#push(timer)
    return () => {
      timer.isCancelled = true
    }
  }

  after(ms: number, fn: () => void): () => void {
    return this.at(this.now + ms, fn)
  }

  wait(ms: number): Promise<void> {
    return new Promise((resolve) => this.after(ms, resolve))
  }

  /** Returns a machine's clock, `aheadMs` ahead of virtual time. Its timers do not fire after the machine dies. */
  clock(aheadMs: number, isAlive: () => boolean): Clock {
    return {
      now: () => Math.round(this.now + aheadMs),
      after: (ms, fn) => this.after(ms, () => isAlive() && fn()),
    }
  }

  /** Fires all timers up to `end`. Each fires when the promises that the previous one started wait for timers. */
  async run(end: number, isOver: () => boolean): Promise<void> {
    for (let count = 1; ; count++) {
      const timer = this.#heap[0]
      if (!timer || timer.at > end || isOver()) return
      this.#pop()
      if (timer.isCancelled) continue
      this.now = timer.at
      timer.fn()
      // Runs after all settled promises, and is cheaper than a turn of the event loop.
      await new Promise<void>((resolve) => process.nextTick(resolve))
      if (count % timersPerTurn === 0) await turn()
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
