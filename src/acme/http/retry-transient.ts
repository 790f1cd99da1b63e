import type { Clock } from '../../util/clock.js'
import { CertCacheError, IssuanceError, NoResponseError } from '../../util/errors.js'
import { retry } from '../../util/retry.js'
import { ErrorResponse, hasType, UnverifiedResponseError } from './problem.js'

/** When a step of an order is repeated. */
export interface RetryPolicy {
  /** Delays between attempts after a transient error, in milliseconds. */
  readonly delaysMs: readonly number[]
  /** If the CA's `Retry-After` is longer, the step fails at once. */
  readonly maxRetryAfterMs: number
  /** Whether status 429 is transient without a `Retry-After`. */
  readonly retriesRateLimit: boolean
  /** Whether an invalid response is transient. */
  readonly retriesInvalid: boolean
  /** Whether the step concerns a resource that the CA has named: status 404 and `orderNotReady` are transient. */
  readonly retriesMissing: boolean
  /**
   * How long after its first attempt a step may be repeated if the CA did not respond, in milliseconds. 0 for a step that
   * must not be carried out twice.
   */
  readonly noResponseMs: number
}

/** About half a minute in all: the time in which a CA may restart, or in which its replicas agree. */
const patientDelaysMs = [1_000, 2_000, 4_000, 8_000, 16_000]

/** A step that must not be carried out twice, before the order is finalized. */
const once: RetryPolicy = {
  delaysMs: [1_000, 2_000, 4_000],
  maxRetryAfterMs: 10_000,
  retriesRateLimit: false,
  retriesInvalid: false,
  retriesMissing: false,
  noResponseMs: 0,
}

export const retryPolicies: Readonly<
  Record<'create' | 'register' | 'respond' | 'read' | 'finalized', RetryPolicy>
> = {
  /** newOrder. */
  create: once,
  /** The directory and newAccount. Without a response the CA cannot be reached: this order fails fast. */
  register: once,
  /** A response to a challenge. */
  respond: { ...once, retriesMissing: true },
  /** Reading an authorization or an order. */
  read: { ...once, retriesMissing: true, noResponseMs: 10_000 },
  /** From finalize on: the CA may have issued the certificate, and a new order would produce a second one. */
  finalized: {
    delaysMs: patientDelaysMs,
    maxRetryAfterMs: 30_000,
    retriesRateLimit: true,
    retriesInvalid: true,
    retriesMissing: true,
    noResponseMs: Number.POSITIVE_INFINITY,
  },
}

interface RetryContext {
  readonly policy: RetryPolicy
  readonly clock: Clock
  readonly signal: AbortSignal
  /** Called before each further attempt. Throws if the work is cancelled. */
  readonly beforeRetry?: () => void
}

/**
 * Runs a step of an order, and repeats it after transient errors (status 5xx, 429, and 404 or `orderNotReady` for half a
 * minute), as far as the policy allows.
 * @throws the error of the last attempt, or the first that is not transient; the signal's reason
 */
export function retryTransient<T>(
  step: (isFirst: boolean) => Promise<T>,
  { policy, clock, signal, beforeRetry }: RetryContext,
): Promise<T> {
  const delayAfter = (thrown: unknown, index: number, elapsedMs: number) => {
    const delayMs = delaysFor(thrown, policy, elapsedMs)[index]
    if (delayMs === undefined || signal.aborted) return undefined
    const retryAt = thrown instanceof IssuanceError ? (thrown.retryAt?.getTime() ?? 0) : 0
    const retryAfterMs = retryAt - clock.now()
    return retryAfterMs > policy.maxRetryAfterMs ? undefined : Math.max(delayMs, retryAfterMs)
  }
  const attempt = async (index: number) => {
    if (index > 0) beforeRetry?.()
    return step(index === 0)
  }
  return retry(attempt, { delayAfter, clock, signal })
}

/** Returns the delays after an error, none if it is not transient. */
function delaysFor(reason: unknown, policy: RetryPolicy, elapsedMs: number): readonly number[] {
  const thrown = reason instanceof UnverifiedResponseError ? reason.cause : reason
  const allow = (isTransient: boolean) => (isTransient ? policy.delaysMs : [])
  if (thrown instanceof ErrorResponse) {
    // Replicas of a CA lag behind each other (Let's Encrypt, ZeroSSL): a resource that the CA has just named is missing,
    // or an order that was ready is not (RFC 8555 section 7.4).
    const isMissing = thrown.status === 404 || hasType(thrown.problem, 'orderNotReady')
    if (isMissing) return policy.retriesMissing ? patientDelaysMs : []
    if (thrown.status === 429) return allow(policy.retriesRateLimit || thrown.retryAt !== undefined)
    return allow(thrown.status >= 500)
  }
  if (thrown instanceof NoResponseError) return allow(elapsedMs < policy.noResponseMs)
  return allow(
    policy.retriesInvalid && (thrown instanceof IssuanceError || !(thrown instanceof CertCacheError)),
  )
}
