import {
  ChallengeRateLimitError,
  ClosedError,
  HostError,
  IssuanceError,
  LockLostError,
  StoreError,
  WrongClockError,
} from './errors.js'

/** What an error means for the next attempt. */
export interface Verdict {
  /**
   * Who has to change something: the CA; the store; the host's own configuration, as its DNS records; this process, or
   * its clock; the host policy; the caller, as by its options.
   */
  readonly blame: 'ca' | 'store' | 'host' | 'process' | 'clock' | 'policy' | 'caller'
  /** What else fails for the same reason: the host, every order of the account, or every store operation. */
  readonly scope: 'host' | 'account' | 'store'
  /** No new attempt is allowed before this time. Milliseconds since the epoch. */
  readonly notBefore?: number | undefined
  /** Set if the request was refused before anything was read or ordered for it: the rule that refused it. */
  readonly refusal?: 'name' | 'policy' | 'rate'
  /** Whether the same request may succeed within seconds. */
  readonly isTransient: boolean
}

/** Problem types about a host's own configuration (RFC 8555 section 6.7). */
const hostProblems =
  /:(caa|connection|dns|incorrectResponse|rejectedIdentifier|tls|unauthorized|unsupportedIdentifier)$/
/** Problem types about the account. */
const accountProblems =
  /:(accountDoesNotExist|externalAccountRequired|invalidContact|rateLimited|userActionRequired)$/

/** Returns what an error means. The only place that decides this. */
export function verdictOf(error: Error): Verdict {
  if (error instanceof IssuanceError) return verdictOfIssuance(error)
  if (error instanceof StoreError) return verdictOfStore(error)
  const isTransient = false
  if (error instanceof ChallengeRateLimitError)
    return { blame: 'caller', scope: 'host', refusal: 'rate', isTransient }
  if (error instanceof HostError) {
    if (error.code === 'ERR_HOST_NAME')
      return { blame: 'caller', scope: 'host', refusal: 'name', isTransient }
    const isRefused = error.code === 'ERR_HOST_POLICY'
    return { blame: 'policy', scope: 'host', ...(isRefused && { refusal: 'policy' }), isTransient }
  }
  if (error instanceof LockLostError) return { blame: 'process', scope: 'host', isTransient }
  if (error instanceof ClosedError) return { blame: 'caller', scope: 'store', isTransient }
  return { blame: 'process', scope: 'store', isTransient }
}

function verdictOfIssuance(error: IssuanceError): Verdict {
  const { code, problem } = error
  const notBefore = error.retryAt?.getTime()
  if (code === 'ERR_ACME_PROFILE') return { blame: 'caller', scope: 'account', notBefore, isTransient: false }
  if (error instanceof WrongClockError)
    return { blame: 'clock', scope: 'host', notBefore, isTransient: false }
  // Without a problem document there was no response, or a proxy sent it.
  const { type = '', status = 503 } = problem ?? {}
  const isTransient = status >= 500 || status === 429
  const scope = accountProblems.test(type) ? 'account' : 'host'
  return { blame: hostProblems.test(type) ? 'host' : 'ca', scope, notBefore, isTransient }
}

function verdictOfStore({ code, statusCode = 500 }: StoreError): Verdict {
  const isAboutEntry = code === 'ERR_STORE_DECRYPT' || code === 'ERR_STORE_ENTRY'
  // Other answers, such as a conflict, are about one entry as well.
  const isOutage =
    code !== 'ERR_STORE_FAILED' || statusCode >= 500 || statusCode === 408 || statusCode === 429
  return { blame: 'store', scope: isAboutEntry || !isOutage ? 'host' : 'store', isTransient: false }
}

/** Returns whether the CA limits the orders of the whole account for a while (RFC 8555 section 6.6). */
export const isRateLimited = (error: Error): boolean =>
  error instanceof IssuanceError && (error.problem?.type.endsWith(':rateLimited') ?? false)
