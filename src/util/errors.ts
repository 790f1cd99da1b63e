/** What went wrong with a store. */
export type StoreErrorCode =
  /** The credentials are wrong, expired, or signed with a wrong clock. */
  | 'ERR_STORE_CREDENTIALS'
  /** The credentials are right but lack a permission. */
  | 'ERR_STORE_PERMISSION'
  /** The container, bucket, folder or table does not exist. */
  | 'ERR_STORE_CONTAINER'
  /** DNS, connection or TLS failure: no answer came. */
  | 'ERR_STORE_UNREACHABLE'
  /** No complete answer came in time. */
  | 'ERR_STORE_TIMEOUT'
  /** Anybody can read it. */
  | 'ERR_STORE_PUBLIC'
  /** A value is there, but it can't be decrypted: see `EncryptedCertCache`. */
  | 'ERR_STORE_DECRYPT'
  /** One entry alone: its name is too long for the store, its value too large, or it is none of the store's. */
  | 'ERR_STORE_ENTRY'
  /** Any other answer that is neither a value nor a miss. */
  | 'ERR_STORE_FAILED'

/** Of these, what a store's own failure can mean; the others are found out by looking at what it lets through. */
export type ServiceErrorCode = Exclude<
  StoreErrorCode,
  'ERR_STORE_DECRYPT' | 'ERR_STORE_ENTRY' | 'ERR_STORE_PUBLIC'
>

/** What went wrong with a server name. */
export type HostErrorCode =
  /** Not a DNS name that a public CA issues for. */
  | 'ERR_HOST_NAME'
  /** `hostPolicy` did not allow it. */
  | 'ERR_HOST_POLICY'

/** What went wrong on the way to a certificate. */
export type IssuanceErrorCode =
  /** The CA refused, could not be reached, or answered with something unusable. */
  | 'ERR_ISSUANCE_FAILED'
  /** A former attempt failed, and it is too early for the next one: see `retryAt`. */
  | 'ERR_ISSUANCE_POSTPONED'
  /** The CA has no profile of the name in `acme.profile`. */
  | 'ERR_ACME_PROFILE'

/** The root of all errors this package makes, `TypeError`s for wrong options apart. */
export abstract class CertCacheError extends Error {
  abstract readonly code: string

  constructor(message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = new.target.name
  }
}

/** A cache key with a character that some store or some peer could not represent. Nothing was requested. */
export class CacheKeyError extends CertCacheError {
  readonly code = 'ERR_CACHE_KEY'
}

/** A store could not tell or do what it was asked. Never a miss. */
export class StoreError extends CertCacheError {
  readonly code: StoreErrorCode

  constructor(
    code: StoreErrorCode,
    message: string,
    options?: ErrorOptions & { statusCode?: number | undefined },
  ) {
    super(message, options)
    this.code = code
    if (options?.statusCode !== undefined) this.statusCode = options.statusCode
  }

  /** The HTTP status of the answer, where there was one. */
  readonly statusCode?: number
}

/** A server name for which no certificate will be looked up or ordered. */
export class HostError extends CertCacheError {
  readonly code: HostErrorCode
  readonly host: string

  constructor(code: HostErrorCode, host: string, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
    this.host = host
  }
}

/** A problem document of an ACME CA (RFC 7807, RFC 8555 section 6.7), reduced to what helps. */
export interface AcmeProblem {
  /** For example `urn:ietf:params:acme:error:rateLimited`. */
  readonly type: string
  readonly detail?: string
  readonly status?: number
}

/** No certificate could be had from the CA. */
export class IssuanceError extends CertCacheError {
  readonly code: IssuanceErrorCode

  constructor(
    code: IssuanceErrorCode,
    message: string,
    options?: ErrorOptions & { problem?: AcmeProblem | undefined; retryAt?: Date | undefined },
  ) {
    super(message, options)
    this.code = code
    if (options?.problem) this.problem = options.problem
    if (options?.retryAt) this.retryAt = options.retryAt
  }

  /** What the CA said, if it said something. */
  readonly problem?: AcmeProblem
  /** Not before this time is another attempt made: the CA's `Retry-After`, or the failure schedule. */
  readonly retryAt?: Date
}

/** A wait reached its bound. The work goes on behind it. */
export class DeadlineError extends CertCacheError {
  readonly code = 'ERR_DEADLINE'
}

/** A lock of the fleet was lost, or could not be proved held any more: what it protected was given up. */
export class LockLostError extends CertCacheError {
  readonly code = 'ERR_LOCK_LOST'
}

/** The manager or the store was closed. */
export class ClosedError extends CertCacheError {
  readonly code = 'ERR_CLOSED'
}

/** Any thrown value as an Error: other people's policies, listeners and stores throw what they like. */
export const toError = (thrown: unknown): Error =>
  thrown instanceof Error
    ? thrown
    : new Error(`a value that is no Error was thrown, of type ${typeof thrown}`)
