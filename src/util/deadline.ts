import { setMaxListeners } from 'node:events'
import type { Clock } from './clock.js'

/** A controller whose signal any number of operations may listen to at once. */
export function sharedController(): AbortController {
  const controller = new AbortController()
  setMaxListeners(0, controller.signal)
  return controller
}

/**
 * Lets a controller abort with the first of `sources`, until the returned function is called. Unlike
 * `AbortSignal.any`, which on Node 20 may lose a source to the garbage collector, it holds them.
 */
export function linkAbort(
  controller: AbortController,
  sources: readonly (AbortSignal | undefined)[],
): () => void {
  const links = sources.flatMap((source) => {
    if (!source) return []
    const abort = () => controller.abort(source.reason)
    if (source.aborted) abort()
    else source.addEventListener('abort', abort, { once: true })
    return () => source.removeEventListener('abort', abort)
  })
  return () => {
    for (const unlink of links) unlink()
  }
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
  const controller = sharedController()
  const unlink = linkAbort(controller, [bound.signal])
  const cancel = bound.clock.after(bound.ms, () => controller.abort(bound.error()))
  try {
    return await abortable(work(controller.signal), controller.signal)
  } finally {
    cancel()
    unlink()
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
