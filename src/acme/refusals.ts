import {
  AccountRefusedError,
  type AcmeProblem,
  CertCacheError,
  IssuanceError,
  toError,
} from '../util/errors.js'
import { describeProblem, ErrorResponse, hasType, InvalidResponseError, toProblem } from './http/problem.js'
import { withAdvice } from './http/transport.js'

export const invalidResponse = (host: string, reason: string): InvalidResponseError =>
  new InvalidResponseError(`the order for "${host}" failed: invalid response from the CA: ${reason}`)

/** Converts a plain Error of acme-client, which it throws for an invalid response. Returns any other error as it is. */
export const toInvalidResponse = (thrown: unknown): unknown =>
  thrown instanceof CertCacheError
    ? thrown
    : new InvalidResponseError(`invalid response from the CA: ${toError(thrown).message}`, { cause: thrown })

/** Creates the error of an order or authorization that the CA has made invalid. */
export function refusal(host: string, error: unknown, reason: string): IssuanceError {
  const problem = toProblem(error)
  const details = problem ? `: ${describeProblem(problem)}` : ''
  const advice = problem ? adviceForProblem(problem, host) : ''
  const message = withAdvice(`the CA refused "${host}": ${reason}${details}`, advice)
  return new IssuanceError('ERR_ISSUANCE_FAILED', message, { problem })
}

/**
 * The problems with which a CA refuses an account in response to newOrder (RFC 8555 sections 6.7 and 7.3).
 * `rateLimited` is not among them: Let's Encrypt also limits single hosts.
 */
const accountProblems = [
  'accountDoesNotExist',
  'externalAccountRequired',
  'invalidContact',
  'unauthorized',
  'unsupportedContact',
  'userActionRequired',
]

/** Converts an error in response to newOrder that refuses the account. Returns any other as it is. */
export const toAccountRefusal = (thrown: unknown): unknown =>
  thrown instanceof ErrorResponse && hasType(thrown.problem, ...accountProblems)
    ? accountRefusal(thrown)
    : thrown

/** Converts any response to a registration that is an error: it says nothing about a host. Returns any other as it is. */
export const toRegistrationError = (thrown: unknown): unknown =>
  thrown instanceof ErrorResponse || thrown instanceof InvalidResponseError ? accountRefusal(thrown) : thrown

function accountRefusal(thrown: IssuanceError): AccountRefusedError {
  const { message, problem, retryAt } = thrown
  return new AccountRefusedError(withAdvice(message, adviceForAccount(problem)), {
    cause: thrown,
    ...(problem && { problem }),
    ...(retryAt && { retryAt }),
  })
}

/** Whether the CA has lost or refused the account, so that the next order must register the stored key again. */
export const concernsAccount = (thrown: unknown): boolean =>
  thrown instanceof AccountRefusedError ||
  (thrown instanceof IssuanceError && hasType(thrown.problem, 'accountDoesNotExist'))

function adviceForAccount(problem: AcmeProblem | undefined): string {
  if (hasType(problem, 'externalAccountRequired'))
    return 'Set acme.externalAccountBinding to the values that the CA gave you.'
  if (hasType(problem, 'invalidContact', 'unsupportedContact')) return 'Correct acme.email.'
  if (hasType(problem, 'unauthorized'))
    return 'If the account was deactivated, delete its key from the store: the next order registers a new account.'
  return ''
}

/** What to do about a CA's problem, by the end of its type: RFC 8555 section 6.7. */
const problemAdvice: Readonly<Record<string, (host: string) => string>> = {
  caa: (host) => `Allow the CA in the CAA records of "${host}".`,
  connection: (host) => `The CA must be able to connect to "${host}" on port 80 or port 443.`,
  dns: (host) => `Check the DNS records of "${host}".`,
  incorrectResponse: anotherServer,
  rejectedIdentifier: (host) => `This CA does not issue certificates for "${host}".`,
  tls: (host) => `Servers with manager.tlsOptions() must answer on port 443 of "${host}".`,
  unauthorized: anotherServer,
}

function anotherServer(host: string): string {
  return `Check that all A and AAAA records of "${host}" lead to servers that share this store, and that no proxy answers instead.`
}

/** Returns what to do about a problem, or an empty text. */
function adviceForProblem({ type, detail = '' }: AcmeProblem, host: string): string {
  // An http-01 validation begins on port 80 (RFC 8555 section 8.3), so the CA has followed a redirect. Before the first certificate, the handshake there waits for this order.
  if (/https:\/\/[^\s"]*\/\.well-known\/acme-challenge\//i.test(detail))
    return `Port 80 of "${host}" redirects challenge requests to https. Exempt /.well-known/acme-challenge/ from the redirect.`
  return problemAdvice[type.slice(type.lastIndexOf(':') + 1)]?.(host) ?? ''
}
