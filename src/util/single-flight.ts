/** Shares the result of a running call among all callers with the same key. */
export class SingleFlight<T> {
  readonly #calls = new Map<string, Promise<T>>()

  /** The number of running calls. */
  get size(): number {
    return this.#calls.size
  }

  /** Returns the promise of the running call, or `undefined`. */
  get(key: string): Promise<T> | undefined {
    return this.#calls.get(key)
  }

  /** Returns the promise of the running call, or calls `work`. The call is forgotten when it settles. */
  run(key: string, work: () => Promise<T>): Promise<T> {
    const running = this.#calls.get(key)
    if (running) return running
    const call = work()
    this.#calls.set(key, call)
    // Runs in the same tick as the callbacks of the callers, before the first of them.
    const end = () => {
      if (this.#calls.get(key) === call) this.#calls.delete(key)
    }
    call.then(end, end)
    return call
  }

  /** Makes the next `run` call `work` again. Returns the promise of the running call, or `undefined`. */
  forget(key: string): Promise<T> | undefined {
    const call = this.#calls.get(key)
    this.#calls.delete(key)
    return call
  }
}
