import { ignoreFailure } from '../../util/safe-call.js'

/** Aborts the work of each running `withCleanup` call; resolves when its cleanup is done. */
const abortFunctions = new Set<() => Promise<unknown>>()
let exiting: Promise<void> | undefined

const exitCodes = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const

/**
 * Runs `work`, which must clean up and settle soon after its signal aborts. If the user stops the command, or its
 * output pipe is closed, the process waits for that cleanup before it exits. A second Ctrl+C ends it at once.
 */
export async function withCleanup<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController()
  const result = work(controller.signal)
  const abort = () => {
    controller.abort()
    return ignoreFailure(result, 'the caller of withCleanup handles it')
  }
  const handlers = Object.entries(exitCodes).map(([name, code]) => [name, () => exit(code)] as const)
  for (const [name, handler] of handlers) process.once(name, handler)
  abortFunctions.add(abort)
  try {
    return await result
  } finally {
    abortFunctions.delete(abort)
    for (const [name, handler] of handlers) process.removeListener(name, handler)
    // While the process exits, this never settles, so the error of the aborted work is not reported.
    await exiting
  }
}

/** Ends the process when all cleanup is done. */
export function exit(code: number): void {
  if (abortFunctions.size === 0) process.exit(code)
  exiting ??= Promise.all([...abortFunctions].map((abort) => abort())).then(() => process.exit(code))
}
