import { setMaxListeners } from 'node:events'
import type { Clock } from './clock.js'
import { DeadlineError } from './errors.js'
import { warnUnhandled } from './safe-call.js'

/** Returns a controller whose signal takes any number of listeners without Node's leak warning. */
export function sharedController(): AbortController {
  const controller = new AbortController()
  setMaxListeners(0, controller.signal)
  return controller
}

/**
 * Aborts `controller` when the first of `sources` aborts. Returns a function that removes the links, which holds the
 * sources: with `AbortSignal.any`, a source may be garbage-collected before it aborts (Node 20).
 */
export function linkAbort(
  controller: AbortController,
  sources: readonly (AbortSignal | undefined)[],
): () => void {
  const abort = ({ target }: Event) => controller.abort((target as AbortSignal).reason)
  for (const source of sources) {
    if (source?.aborted) controller.abort(source.reason)
    else source?.addEventListener('abort', abort, { once: true })
  }
  return () => {
    for (const source of sources) source?.removeEventListener('abort', abort)
  }
}

/** Settles as `promise` does, or rejects with the signal's reason if the signal aborts first. */
export function abortable<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return promise
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason)
    if (signal.aborted) abort()
    else signal.addEventListener('abort', abort, { once: true })
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort))
  })
}

interface Deadline {
  /** Milliseconds until the operation is aborted. */
  ms: number
  clock: Clock
  /** Creates the error. A string is the start of a {@link DeadlineError}'s message, completed by `within 30 s`. */
  error: string | (() => Error)
  /** Aborts the operation earlier. */
  signal?: AbortSignal | undefined
}

/**
 * Runs `operation` with a signal that aborts after `ms`, or when `signal` aborts. Rejects at that moment
 * even if the operation ignores its signal: discards a late result, and handles a late rejection.
 */
export async function withDeadline<T>(
  operation: (signal: AbortSignal) => Promise<T>,
  { ms, clock, error, signal }: Deadline,
): Promise<T> {
  const controller = sharedController()
  const unlink = linkAbort(controller, [signal])
  const createError = () =>
    typeof error === 'string' ? new DeadlineError(`${error} within ${formatMs(ms)}`) : error()
  const cancel = clock.after(ms, () => controller.abort(createError()))
  try {
    return await abortable(operation(controller.signal), controller.signal)
  } finally {
    cancel()
    unlink()
  }
}

const formatMs = (ms: number) => (ms < 120_000 ? `${ms / 1_000} s` : `${ms / 60_000} minutes`)

/** Waits until all promises have settled. Emits a process warning if that takes longer than `ms`. */
export async function settleAll(
  promises: readonly Promise<unknown>[],
  { ms, clock, text }: { ms: number; clock: Clock; text: string },
): Promise<void> {
  const error = () => new DeadlineError(`${text} ${formatMs(ms)} after close`)
  await withDeadline(() => Promise.allSettled(promises), { ms, clock, error }).catch(warnUnhandled)
}

/** Resolves after `ms`, or rejects with the signal's reason. Keeps the process running, because work is in progress. */
export async function sleep(ms: number, clock: Clock, signal: AbortSignal): Promise<void> {
  let cancel = () => {}
  const elapsed = new Promise<void>((resolve) => {
    cancel = clock.after(ms, resolve, { keepAlive: true })
  })
  try {
    await abortable(elapsed, signal)
  } finally {
    cancel()
  }
}
