import { type AcmeProblem, IssuanceError, ProcessFailureError } from '../../util/errors.js'

/** The CA responded with an error status. Not public: the name is that of {@link IssuanceError}. */
export class ErrorResponse extends IssuanceError {
  readonly status: number

  constructor(
    message: string,
    { status, ...options }: { status: number; problem?: AcmeProblem | undefined; retryAt?: Date | undefined },
  ) {
    super('ERR_ISSUANCE_FAILED', message, options)
    this.name = IssuanceError.name
    this.status = status
  }
}

/** The CA's response is not what RFC 8555 requires. Not public: the name is that of {@link IssuanceError}. */
export class InvalidResponseError extends IssuanceError {
  constructor(message: string, options?: ErrorOptions) {
    super('ERR_ISSUANCE_FAILED', message, options)
    this.name = IssuanceError.name
  }
}

/**
 * The response to a request for the directory or a nonce is invalid, or an error without a problem document. A proxy of
 * this machine may have sent it instead of the CA.
 */
export class UnverifiedResponseError extends ProcessFailureError {
  declare readonly cause: ErrorResponse | InvalidResponseError

  constructor(cause: ErrorResponse | InvalidResponseError) {
    super(cause.message, { cause, retryAt: cause.retryAt })
  }

  /** Whether the status is one that a CA sends while it is overloaded or restarts. */
  get isPassing(): boolean {
    const status = this.cause instanceof ErrorResponse ? this.cause.status : 0
    return status >= 500 || status === 429
  }
}

/** Returns whether something responded, possibly with an error. */
export const isResponse = (thrown: unknown): boolean =>
  thrown instanceof ErrorResponse ||
  thrown instanceof InvalidResponseError ||
  thrown instanceof UnverifiedResponseError

const maxTypeLength = 200
const maxDetailLength = 1_000
const maxSubproblemDetailLength = 200
const maxSubproblems = 10

/**
 * Returns a problem document (RFC 7807), received or part of an order or challenge. `undefined` if it is invalid. Its
 * texts and its list of subproblems are shortened, because problems are stored and emitted in events.
 */
export function toProblem(data: unknown, status?: number): AcmeProblem | undefined {
  const problem = parseProblem(data, maxDetailLength)
  if (problem === undefined) return undefined
  const { subproblems } = data as { subproblems?: unknown }
  const parsed = (Array.isArray(subproblems) ? subproblems.slice(0, maxSubproblems) : []).flatMap(
    (subproblem) => parseProblem(subproblem, maxSubproblemDetailLength) ?? [],
  )
  return {
    ...problem,
    ...(status !== undefined && { status }),
    ...(parsed.length > 0 && { subproblems: parsed }),
  }
}

function parseProblem(data: unknown, maxDetail: number): AcmeProblem | undefined {
  const { type, detail } = Object(data) as Record<string, unknown>
  if (typeof type !== 'string') return undefined
  return {
    type: type.slice(0, maxTypeLength),
    ...(typeof detail === 'string' && { detail: detail.slice(0, maxDetail) }),
  }
}

/** Describes a problem and its subproblems in one line. */
export function describeProblem({ type, detail, subproblems = [] }: AcmeProblem): string {
  const text = `${type}: ${detail ?? 'no detail'}`
  return subproblems.length === 0 ? text : `${text} (${subproblems.map(describeProblem).join('; ')})`
}

/** Returns whether a problem has one of these types: RFC 8555 section 6.7, without the prefix of the namespace. */
export const hasType = (problem: AcmeProblem | undefined, ...types: readonly string[]): boolean =>
  types.some((type) => problem?.type === `urn:ietf:params:acme:error:${type}`)

/**
 * Returns a `Retry-After` (RFC 9110 section 10.2.3: seconds, or an HTTP date) in milliseconds since the epoch, by this
 * machine's clock. `undefined` if it is missing or invalid.
 * @param date the `Date` of the response. An HTTP date is relative to it, because the clocks may differ.
 */
export function parseRetryAfter(header: string | undefined, now: number, date?: string): number | undefined {
  if (header === undefined) return undefined
  if (/^\d{1,9}$/.test(header.trim())) return now + Number(header) * 1_000
  const time = /GMT\s*$/.test(header) ? Date.parse(header) : Number.NaN
  if (Number.isNaN(time)) return undefined
  const respondedAt = Date.parse(date ?? '')
  return Number.isNaN(respondedAt) ? time : now + time - respondedAt
}
