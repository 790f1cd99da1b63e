import type { Clock } from '../util/clock.js'
import { sleep } from '../util/deadline.js'
import { CertCacheError, IssuanceError } from '../util/errors.js'

/** Delays between attempts: about half a minute in all, the time in which a CA may restart. */
const delaysMs = [1_000, 2_000, 4_000, 8_000, 16_000]
/** If the CA's `Retry-After` is longer, the step fails at once. */
const maxRetryAfterMs = 30_000

/**
 * Runs a step of an order that may already have produced a certificate. Retries after transient errors (no response,
 * an invalid response, status 429 or 5xx), because a new order would produce a second certificate.
 * @throws the error of the last attempt, or the first that is not transient; the signal's reason
 */
export async function retryTransient<T>(
  step: (isFirst: boolean) => Promise<T>,
  clock: Clock,
  signal: AbortSignal,
): Promise<T> {
  for (const [index, delayMs] of delaysMs.entries()) {
    try {
      return await step(index === 0)
    } catch (thrown) {
      if (!isTransient(thrown)) throw thrown
      const retryAt = thrown instanceof IssuanceError ? thrown.retryAt : undefined
      const retryAfterMs = (retryAt?.getTime() ?? 0) - clock.now()
      if (retryAfterMs > maxRetryAfterMs) throw thrown
      await sleep(Math.max(delayMs, retryAfterMs), clock, signal)
    }
  }
  return step(false)
}

function isTransient(thrown: unknown): boolean {
  // acme-client throws plain Errors for invalid responses.
  if (!(thrown instanceof IssuanceError)) return !(thrown instanceof CertCacheError)
  // Without a problem document there was no response, or a proxy sent it.
  const status = thrown.problem?.status ?? 503
  return status >= 500 || status === 429
}
