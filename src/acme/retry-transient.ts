import type { Clock } from '../util/clock.js'
import { CertCacheError, toError } from '../util/errors.js'
import { retry } from '../util/retry.js'
import { verdictOf } from '../util/verdict.js'

/** Delays between attempts: about half a minute in all, the time in which a CA may restart. */
const delaysMs = [1_000, 2_000, 4_000, 8_000, 16_000]
/** If the CA's `Retry-After` is longer, the step fails at once. */
const maxRetryAfterMs = 30_000

/**
 * Runs a step of an order that may already have produced a certificate. Retries after transient errors (no response,
 * an invalid response, status 429 or 5xx), because a new order would produce a second certificate.
 * @throws the error of the last attempt, or the first that is not transient; the signal's reason
 */
export function retryTransient<T>(
  step: (isFirst: boolean) => Promise<T>,
  clock: Clock,
  signal: AbortSignal,
): Promise<T> {
  const delayAfter = (thrown: unknown, index: number) => {
    const delayMs = delaysMs[index]
    // acme-client throws plain Errors for invalid responses.
    const isInvalidResponse = !(thrown instanceof CertCacheError)
    const { isTransient = isInvalidResponse, notBefore = 0 } = verdictOf(toError(thrown))
    if (delayMs === undefined || !isTransient) return undefined
    const retryAfterMs = notBefore - clock.now()
    return retryAfterMs > maxRetryAfterMs ? undefined : Math.max(delayMs, retryAfterMs)
  }
  return retry((index) => step(index === 0), { delayAfter, clock, signal })
}
