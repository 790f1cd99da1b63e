import type { Clock } from '../util/clock.js'
import { sleep } from '../util/deadline.js'
import { CertCacheError, IssuanceError } from '../util/errors.js'

/** Half a minute in all, as long as a CA may be restarting, or as its `Retry-After` says. The order has its own bound. */
const pausesMs = [1_000, 2_000, 4_000, 8_000, 16_000]
/** A CA that wants to be left alone for longer is not waited for. */
const longestRetryAfterMs = 30_000

/**
 * A step after which there may be a certificate: it is not given up, and ordered anew, for an answer that did not come,
 * was nonsense or the CA's own trouble, but asked for again. What the CA refuses is refused.
 */
export async function retryTransient<T>(
  step: (isFirst: boolean) => Promise<T>,
  clock: Clock,
  signal: AbortSignal,
): Promise<T> {
  for (const [index, pauseMs] of pausesMs.entries()) {
    try {
      return await step(index === 0)
    } catch (thrown) {
      if (!mayPass(thrown)) throw thrown
      const retryAt = thrown instanceof IssuanceError ? thrown.retryAt : undefined
      const asked = (retryAt?.getTime() ?? 0) - clock.now()
      if (asked > longestRetryAfterMs) throw thrown
      await sleep(Math.max(pauseMs, asked), clock, signal)
    }
  }
  return step(false)
}

/** Without a problem there was no answer, or something before the CA gave it; acme-client throws bare Errors at nonsense. */
function mayPass(thrown: unknown): boolean {
  if (!(thrown instanceof IssuanceError)) return !(thrown instanceof CertCacheError)
  const status = thrown.problem?.status ?? 503
  return status >= 500 || status === 429
}
