import { toError } from './errors.js'

/**
 * Calls somebody else's code (a listener, a callback) whose failure is not ours: what it throws, or rejects
 * with, becomes a process warning instead of ending the process or the work that reported something.
 */
export function callSafely(call: () => unknown): void {
  try {
    const result = call()
    if (result instanceof Promise) result.catch(warnUnhandled)
  } catch (thrown) {
    warnUnhandled(thrown)
  }
}

/** A failure that is nobody's who waits for something. */
export function warnUnhandled(thrown: unknown): void {
  process.emitWarning(`acme-cert-cache: ${toError(thrown).stack}`, 'CertCacheWarning')
}
