import type { Clock } from '../../src/index.js'

interface Timer {
  readonly at: number
  readonly order: number
  readonly fn: () => void
}

/** Virtual time for a whole world: a heap of timers, which fire one by one in their order. */
export class Timeline {
  now = Date.parse('2027-01-01T00:00:00Z')
  readonly #heap: Timer[] = []
  #count = 0

  at(at: number, fn: () => void): () => void {
    let wanted = true
    this.#push({ at: Math.max(at, this.now), order: this.#count++, fn: () => wanted && fn() })
    return () => {
      wanted = false
    }
  }

  /** A machine's view; its timers go when it is killed. */
  clock(isAlive: () => boolean): Clock {
    return {
      now: () => this.now,
      after: (ms, fn) => this.at(this.now + ms, () => isAlive() && fn()),
    }
  }

  /** Fires the next timer; `false` if there is none before `end`. */
  step(end: number): boolean {
    const [next] = this.#heap
    if (!next || next.at > end) return false
    this.#pop()
    this.now = next.at
    next.fn()
    return true
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
