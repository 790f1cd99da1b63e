import type { RestErrorLike } from './errors.js'

/** The delays before the second and third attempt, in ms. Up to half of each is added at random. */
const retryDelaysMs = [100, 400]
/** A longer `Retry-After` ends the operation: a handshake is waiting. */
const maxRetryAfterMs = 1_000

/** Throttled, temporarily unavailable, or restarting: https://learn.microsoft.com/rest/api/storageservices/status-and-error-codes2 */
const transientStatuses = new Set([408, 429, 500, 502, 503, 504])
/** A broken connection, often a reused idle one. These are codes of Node and of the SDK. */
const transientCodes = /^(ECONNRESET|EPIPE|ECONNREFUSED|ETIMEDOUT|EAI_AGAIN|REQUEST_SEND_ERROR)$/

/**
 * Returns the delay before a request is sent again, or `undefined` if it is not: at most two retries, after transient
 * failures, within the first half of `timeoutMs`. All requests of this store are idempotent.
 */
export function retryDelay(
  thrown: unknown,
  index: number,
  elapsedMs: number,
  timeoutMs: number,
): number | undefined {
  const error: RestErrorLike = Object(thrown)
  const delayMs = retryDelaysMs[index]
  if (delayMs === undefined || !isTransient(error)) return undefined
  const waitMs = retryAfterMs(error) ?? delayMs * (1 + Math.random() / 2)
  return waitMs > maxRetryAfterMs || elapsedMs + waitMs > timeoutMs / 2 ? undefined : waitMs
}

function isTransient({ statusCode, code }: RestErrorLike): boolean {
  return statusCode === undefined ? transientCodes.test(code ?? '') : transientStatuses.has(statusCode)
}

function retryAfterMs({ response }: RestErrorLike): number | undefined {
  const seconds = Number(response?.headers.get('retry-after') ?? Number.NaN)
  return Number.isFinite(seconds) ? seconds * 1_000 : undefined
}
