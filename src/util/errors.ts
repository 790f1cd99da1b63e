/** The reason why a store operation failed. */
export type StoreErrorCode =
  /** The store rejected the credentials: wrong, expired, or signed by a machine whose clock is wrong. */
  | 'ERR_STORE_CREDENTIALS'
  /** The credentials are valid but lack a permission. */
  | 'ERR_STORE_PERMISSION'
  /** The container, bucket, folder or table does not exist. */
  | 'ERR_STORE_CONTAINER'
  /** The store did not answer: a DNS, connection or TLS failure. */
  | 'ERR_STORE_UNREACHABLE'
  /** The operation timed out before the answer was complete. */
  | 'ERR_STORE_TIMEOUT'
  /** The store, and with it the private keys, is readable without credentials. */
  | 'ERR_STORE_PUBLIC'
  /** The value exists but cannot be decrypted: see `EncryptedCertCache`. */
  | 'ERR_STORE_DECRYPT'
  /** Only this entry is affected: its name is too long, its value is too large, or it is not a regular entry. */
  | 'ERR_STORE_ENTRY'
  /** Any other failure. */
  | 'ERR_STORE_FAILED'

/** The codes that a store's own error can map to. This package detects the conditions behind the other codes itself. */
export type ServiceErrorCode = Exclude<
  StoreErrorCode,
  'ERR_STORE_DECRYPT' | 'ERR_STORE_ENTRY' | 'ERR_STORE_PUBLIC'
>

/** The reason why a server name was refused. */
export type HostErrorCode =
  /** It is not a DNS name that a public CA issues certificates for. */
  | 'ERR_HOST_NAME'
  /** `hostPolicy` does not allow it. */
  | 'ERR_HOST_POLICY'
  /** `hostPolicy` threw, rejected or did not answer in time: see the error's `cause`. */
  | 'ERR_HOST_POLICY_FAILED'

/** The reason why no certificate was issued. */
export type IssuanceErrorCode =
  /** The CA refused the order, was unreachable, or returned an unusable answer. */
  | 'ERR_ISSUANCE_FAILED'
  /** An earlier attempt failed, and no new attempt is made before `retryAt`. */
  | 'ERR_ISSUANCE_POSTPONED'
  /** The CA does not offer the profile named in `acme.profile`. */
  | 'ERR_ACME_PROFILE'

/** The base class of all errors of this package, except the `TypeError`s for invalid options. */
export abstract class CertCacheError extends Error {
  abstract readonly code: string

  constructor(message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = new.target.name
  }
}

/** A cache key is outside the alphabet that every store supports. No request was made. */
export class CacheKeyError extends CertCacheError {
  readonly code = 'ERR_CACHE_KEY'
}

/** A store operation failed. A missing key is not a failure: `get` returns `undefined` for it. */
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

  /** The HTTP status of the answer, if the store answered over HTTP. */
  readonly statusCode?: number
}

/** A server name was refused: no certificate is looked up or ordered for it. */
export class HostError extends CertCacheError {
  readonly code: HostErrorCode
  readonly host: string

  constructor(code: HostErrorCode, host: string, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
    this.host = host
  }
}

/** The relevant fields of a problem document from an ACME CA (RFC 7807, RFC 8555 section 6.7). */
export interface AcmeProblem {
  /** For example `urn:ietf:params:acme:error:rateLimited`. */
  readonly type: string
  readonly detail?: string
  readonly status?: number
  /** The problems of the single identifiers (RFC 8555 section 6.7.1): at most 10. */
  readonly subproblems?: readonly Omit<AcmeProblem, 'subproblems'>[]
}

/** The CA did not issue a certificate. */
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

  /** The CA's problem document, if it sent one. */
  readonly problem?: AcmeProblem
  /** The earliest time of the next attempt: from the CA's `Retry-After`, or the retry schedule. */
  readonly retryAt?: Date
}

/**
 * This machine's clock differs too much from the CA's to order, or a new certificate is outside its validity period by this
 * machine's clock. Does not affect other machines. Not public: the name is that of {@link IssuanceError}.
 */
export class WrongClockError extends IssuanceError {
  constructor(message: string, options?: { retryAt?: Date | undefined }) {
    super('ERR_ISSUANCE_FAILED', message, options)
    this.name = IssuanceError.name
  }
}

/**
 * This process could not place or complete an order, for a reason that says nothing about the CA, the store or the host:
 * too few descriptors, a module that does not load. Not recorded for the fleet. Not public: the name is that of
 * {@link IssuanceError}.
 */
export class ProcessFailureError extends IssuanceError {
  constructor(message: string, options?: ErrorOptions & { retryAt?: Date | undefined }) {
    super('ERR_ISSUANCE_FAILED', message, options)
    this.name = IssuanceError.name
  }
}

/**
 * The CA offers no challenge that this process can answer, for example because `httpHandler()` was not called. Other
 * processes may answer more challenge types.
 */
export class NoCommonChallengeError extends ProcessFailureError {}

/** The CA did not respond: no connection, a reset, a time-out. The cause may be this machine alone. */
export class NoResponseError extends ProcessFailureError {}

/**
 * The CA refuses or does not register the account that this process uses, and so every order of it. Says nothing about
 * the host. Not public: the name is that of {@link IssuanceError}.
 */
export class AccountRefusedError extends IssuanceError {
  constructor(message: string, options?: ErrorOptions & { problem?: AcmeProblem; retryAt?: Date }) {
    super('ERR_ISSUANCE_FAILED', message, options)
    this.name = IssuanceError.name
  }
}

/** Challenge answers are requested faster than a CA would. Not public: it becomes the event `refused`. */
export class ChallengeRateLimitError extends Error {}

/** A wait timed out. The work continues in the background. */
export class DeadlineError extends CertCacheError {
  readonly code = 'ERR_DEADLINE'
}

/** A fleet lock was lost, or the holder could no longer prove that it held the lock. The protected work was aborted. */
export class LockLostError extends CertCacheError {
  readonly code = 'ERR_LOCK_LOST'
}

/** The manager or the store was closed. */
export class ClosedError extends CertCacheError {
  readonly code = 'ERR_CLOSED'
}

/** Converts any thrown value to an Error. User code, such as a policy or a store, can throw anything. */
export const toError = (thrown: unknown): Error =>
  thrown instanceof Error
    ? thrown
    : new Error(`a value of type ${typeof thrown} was thrown instead of an Error`)

/** Whether an allocation of Node or OpenSSL has failed. */
export const isOutOfMemory = (error: Error): boolean =>
  /MALLOC_FAILURE$|^ERR_MEMORY_ALLOCATION_FAILED$|^ENOMEM$/.test(String(Object(error).code)) ||
  /malloc failure|allocation failed/i.test(error.message)

/** Returns the messages of several errors as one text, without a full stop before each semicolon. */
export const joinMessages = (errors: readonly Error[]): string =>
  errors
    .map(({ message }, index) => (index < errors.length - 1 ? message.replace(/\.$/, '') : message))
    .join('; ')

/** Ends a text with a full stop, unless it is empty or ends a sentence already. */
export const endSentence = (text: string): string => text.trimEnd().replace(/(?<=[^.!?])$/, '.')
