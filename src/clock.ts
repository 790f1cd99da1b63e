import { setMaxListeners } from 'node:events'

/** Time as the library sees it, so that tests can pass virtual time. */
export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number
  /**
   * Calls `fn` once after `ms` (at most 2^31-1); the returned function cancels.
   * Only a timer with `keepAlive` keeps the process running.
   */
  after(ms: number, fn: () => void, options?: { keepAlive?: boolean }): () => void
}

export const systemClock: Clock = {
  now: () => Date.now(),
  after(ms, fn, options) {
    const timer = setTimeout(fn, ms)
    if (!options?.keepAlive) timer.unref()
    return () => clearTimeout(timer)
  },
}

/** A controller whose signal any number of operations may listen to at once. */
export function sharedController(): AbortController {
  const controller = new AbortController()
  setMaxListeners(0, controller.signal)
  return controller
}

/** Rejects with the signal's reason as soon as it aborts; otherwise settles as `promise` does. */
export function abortable<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return promise
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason)
    if (signal.aborted) abort()
    else signal.addEventListener('abort', abort, { once: true })
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort))
  })
}

/**
 * Runs `work` with a signal that aborts after `ms`, or with `signal`. It settles then even if `work` ignores
 * its signal: the result of such work is dropped, its late rejection handled.
 */
export async function withDeadline<T>(
  work: (signal: AbortSignal) => Promise<T>,
  bound: { ms: number; clock: Clock; error: () => Error; signal?: AbortSignal | undefined },
): Promise<T> {
  const controller = new AbortController()
  const abort = () => controller.abort(bound.signal?.reason)
  if (bound.signal?.aborted) abort()
  else bound.signal?.addEventListener('abort', abort, { once: true })
  const cancel = bound.clock.after(bound.ms, () => controller.abort(bound.error()))
  try {
    return await abortable(work(controller.signal), controller.signal)
  } finally {
    cancel()
    bound.signal?.removeEventListener('abort', abort)
  }
}

/** Resolves after `ms`, or rejects with the signal's reason. Part of work in progress: keeps the process running. */
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
