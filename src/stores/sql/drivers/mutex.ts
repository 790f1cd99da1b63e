type Mutex = <T>(run: () => Promise<T>, signal: AbortSignal) => Promise<T>

/**
 * Statements of a connection that is no pool's, one after the other: the drivers queue them as well, but what is in
 * their queue is sent even when it has been given up.
 */
export function createMutex(): Mutex {
  let last: Promise<unknown> = Promise.resolve()
  return (run, signal) => {
    const turn = last.then(() => {
      signal.throwIfAborted()
      return run()
    })
    // Whoever waits for it is told of its failure; the next has its turn all the same.
    last = turn.catch(() => undefined)
    return turn
  }
}
