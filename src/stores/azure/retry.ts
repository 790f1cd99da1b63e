import { systemClock } from '../../util/clock.js'
import { sleep } from '../../util/deadline.js'

/** The parts of the SDK's `RestError` that are looked at. */
interface RestErrorLike {
  readonly statusCode?: number
  readonly code?: string
  readonly response?: { readonly headers: { get(name: string): string | undefined } }
}

/** Before the second and the third try, in ms; up to half as much more. */
const pausesMs = [100, 400] as const
/** A service that wants to be left alone for longer is not asked again in the same operation. */
const longestRetryAfterMs = 1_000

/** Throttled, out of order for a moment, or restarting: https://learn.microsoft.com/rest/api/storageservices/status-and-error-codes2 */
const passing = new Set([408, 429, 500, 502, 503, 504])
/** A connection that broke, often one that was kept alive; Node's codes and the SDK's. */
const broken = /^(ECONNRESET|EPIPE|ECONNREFUSED|ETIMEDOUT|EAI_AGAIN|REQUEST_SEND_ERROR)$/

/**
 * A request that failed for a reason that may be gone in a moment is made again, twice at most, in the first half of
 * `timeoutMs`. Requests here may be repeated.
 */
export async function retrying<T>(
  request: () => Promise<T>,
  { timeoutMs, signal }: { timeoutMs: number; signal: AbortSignal },
): Promise<T> {
  const end = performance.now() + timeoutMs / 2
  for (const pauseMs of pausesMs) {
    try {
      return await request()
    } catch (thrown) {
      const error: RestErrorLike = Object(thrown)
      const waitMs = retryAfterMs(error) ?? pauseMs * (1 + Math.random() / 2)
      if (!isPassing(error) || waitMs > longestRetryAfterMs || performance.now() + waitMs > end) throw thrown
      await sleep(waitMs, systemClock, signal)
    }
  }
  return request()
}

function isPassing({ statusCode, code }: RestErrorLike): boolean {
  return statusCode === undefined ? broken.test(code ?? '') : passing.has(statusCode)
}

function retryAfterMs({ response }: RestErrorLike): number | undefined {
  const seconds = Number(response?.headers.get('retry-after') ?? Number.NaN)
  return Number.isFinite(seconds) ? seconds * 1_000 : undefined
}
