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

/** How much the clocks of a fleet, and of a CA, may differ. One that differs by more is wrong. */
export const clockSkewMs = 300_000

/** @throws {TypeError} naming the option */
export function checkClock(name: string, value: unknown): Clock {
  const { now, after } = Object(value) as Partial<Clock>
  if (typeof now === 'function' && typeof after === 'function') return value as Clock
  throw new TypeError(`${name} must be a Clock: an object with now and after`)
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

/**
 * Lets a controller abort with the first of `sources`, until the returned function is called. Unlike
 * `AbortSignal.any`, which on Node 20 may lose a source to the garbage collector, it holds them.
 */
export function follow(
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
  const unlink = follow(controller, [bound.signal])
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
