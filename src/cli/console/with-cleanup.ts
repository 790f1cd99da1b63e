/** Work that has something to put away, told to stop: each resolves when that is done. */
const stops = new Set<() => Promise<unknown>>()
let leaving: Promise<void> | undefined

const signals = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const

/**
 * Work that ends soon when its signal aborts, and puts away then what it has made: it is waited for when the user stops
 * the command, or has read enough of it. A second Ctrl+C waits no longer.
 */
export async function withCleanup<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController()
  const result = work(controller.signal)
  const stop = () => {
    controller.abort()
    return result.catch(() => undefined)
  }
  const handlers = Object.entries(signals).map(([name, code]) => [name, () => exit(code)] as const)
  for (const [name, handler] of handlers) process.once(name, handler)
  stops.add(stop)
  try {
    return await result
  } finally {
    stops.delete(stop)
    for (const [name, handler] of handlers) process.removeListener(name, handler)
    // What it threw because it was stopped is not to be told.
    await leaving
  }
}

/** Ends the process, as soon as everything is put away. */
export function exit(code: number): void {
  if (stops.size === 0) process.exit(code)
  leaving ??= Promise.all([...stops].map((stop) => stop())).then(() => process.exit(code))
}
