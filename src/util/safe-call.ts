import { toError } from './errors.js'

/**
 * Calls user code, such as a listener. If it throws, or returns a promise that rejects, emits a process warning instead
 * of failing the caller.
 */
export function callSafely(call: () => unknown): void {
  try {
    const result = call()
    if (result instanceof Promise) result.catch(warnUnhandled)
  } catch (thrown) {
    warnUnhandled(thrown)
  }
}

/** Reports an error that no caller is waiting for, as a process warning. */
export function warnUnhandled(thrown: unknown): void {
  process.emitWarning(`acme-cert-cache: ${toError(thrown).stack}`, 'CertCacheWarning')
}

/**
 * Waits for `promise`, and ignores its rejection.
 * @param _reason why the rejection can be ignored; documents the call
 */
export const ignoreFailure = (promise: Promise<unknown>, _reason: string): Promise<void> =>
  promise.then(() => {}).catch(() => {})
