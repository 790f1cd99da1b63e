import { toError } from './errors.js'

/** A store, a CA or user code may have sent a part of the text. */
const maxWarningLength = 4_000

/**
 * Emits a process warning of the type `CertCacheWarning`, in one line of at most 4,000 characters.
 * @param error the error whose `code` the warning shows
 */
export function warn(text: string, error?: Error): void {
  const { code } = Object(error) as { code?: unknown }
  const line = text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+/gu, ' ').slice(0, maxWarningLength)
  const options = { type: 'CertCacheWarning', ...(typeof code === 'string' && { code }) }
  process.emitWarning(`acme-cert-cache: ${line}`, options)
}

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
