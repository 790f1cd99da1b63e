import {
  AccountRefusedError,
  CertCacheError,
  ChallengeRateLimitError,
  IssuanceError,
  NoCommonChallengeError,
  ProcessFailureError,
  StoreError,
  WrongClockError,
} from './errors.js'

/** What an error means for the next attempt. */
export interface Verdict {
  /**
   * What must change before an attempt can succeed: the CA; the store; the host's own configuration, such as its DNS
   * records; this process, its account or its clock; the host policy; the caller, for example an option.
   *
   * Only what the CA has answered, about itself or about the host, concerns the other machines of the fleet.
   */
  readonly blame: 'ca' | 'store' | 'host' | 'process' | 'clock' | 'policy' | 'caller'
  /** What the failure affects: the host, every order of this process, or every store operation. */
  readonly scope: 'host' | 'account' | 'store'
  /** No new attempt is allowed before this time. Milliseconds since the epoch. */
  readonly notBefore?: number | undefined
  /** Set if the request was refused before anything was read or ordered for it: the rule that refused it. */
  readonly refusal?: 'name' | 'policy' | 'rate'
  /** Whether the same request may succeed within seconds. */
  readonly isTransient?: boolean
  /** Whether work that may have had effects outside this process was interrupted. */
  readonly isInterrupted?: true
  /** Whether the CA limits the orders of the whole account for a while (RFC 8555 section 6.6). */
  readonly isRateLimited?: true
  /** Whether the error is of no known kind. */
  readonly isUnclassified?: true
}

const verdictsByCode: Partial<Record<string, Verdict>> = {
  ERR_ISSUANCE_POSTPONED: { blame: 'ca', scope: 'host' },
  ERR_ACME_PROFILE: { blame: 'caller', scope: 'account' },
  ERR_HOST_NAME: { blame: 'caller', scope: 'host', refusal: 'name' },
  ERR_HOST_POLICY: { blame: 'policy', scope: 'host', refusal: 'policy' },
  ERR_HOST_POLICY_FAILED: { blame: 'policy', scope: 'host' },
  ERR_STORE_DECRYPT: { blame: 'store', scope: 'host' },
  ERR_STORE_ENTRY: { blame: 'store', scope: 'host' },
  ERR_LOCK_LOST: { blame: 'process', scope: 'host', isInterrupted: true },
  ERR_CLOSED: { blame: 'caller', scope: 'store' },
}

/** Problem types about a host's own configuration (RFC 8555 section 6.7). */
const hostProblems =
  /:(caa|connection|dns|incorrectResponse|rejectedIdentifier|tls|unauthorized|unsupportedIdentifier)$/
/** Returns what an error means. The only place that decides this. */
export function verdictOf(error: Error): Verdict {
  const verdict = error instanceof CertCacheError ? verdictsByCode[error.code] : undefined
  if (error instanceof IssuanceError)
    return {
      ...(verdict ?? verdictOfIssuance(error)),
      notBefore: error.retryAt?.getTime(),
      // Let's Encrypt uses this type for limits of the account and of single hosts.
      ...(error.problem?.type.endsWith(':rateLimited') && { isRateLimited: true }),
    }
  if (error instanceof StoreError)
    return verdict ?? { blame: 'store', scope: isOutage(error) ? 'store' : 'host' }
  if (error instanceof ChallengeRateLimitError) return { blame: 'caller', scope: 'host', refusal: 'rate' }
  return verdict ?? { blame: 'process', scope: 'store', isUnclassified: true }
}

function verdictOfIssuance(error: IssuanceError): Verdict {
  if (error instanceof WrongClockError) return { blame: 'clock', scope: 'account' }
  if (error instanceof NoCommonChallengeError) return { blame: 'process', scope: 'host' }
  if (error instanceof ProcessFailureError) return { blame: 'process', scope: 'account', isTransient: true }
  // Without a problem document, a proxy of the CA may have sent the response.
  const { type = '', status = 503 } = error.problem ?? {}
  const isTransient = status >= 500 || status === 429
  if (error instanceof AccountRefusedError) return { blame: 'process', scope: 'account', isTransient }
  return { blame: hostProblems.test(type) ? 'host' : 'ca', scope: 'host', isTransient }
}

/** Returns false for the responses of a working store, such as a conflict. */
const isOutage = ({ code, statusCode = 500 }: StoreError) =>
  code !== 'ERR_STORE_FAILED' || statusCode >= 500 || statusCode === 408 || statusCode === 429
