import { failureMessage, firstLine } from '../../cache/service-errors.js'
import { type ServiceErrorCode, StoreError, toError } from '../../util/errors.js'

/** The fields of the SDK's `S3ServiceException` and of Node's errors that are used. */
interface ServiceErrorLike {
  /** The service's error code, if the service answered. */
  readonly name: string
  /** Node's error code, if the service did not answer. */
  readonly code?: string
  readonly $metadata?: { readonly httpStatusCode?: number; readonly requestId?: string }
}

// https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
const credentialCodes =
  /^(CredentialsProviderError|InvalidAccessKeyId|SignatureDoesNotMatch|ExpiredToken|InvalidToken|TokenRefreshRequired|RequestTimeTooSkewed|RequestExpired|AuthorizationHeaderMalformed|AccountProblem)/
const bucketCodes = /^(NoSuchBucket|PermanentRedirect)$/

/** What to do about each error: the last sentences of its message. */
const advice: Record<ServiceErrorCode, string> = {
  ERR_STORE_CREDENTIALS:
    'Check the access key and its secret, whether the token has expired, the region of the client, and the clock of this machine.',
  ERR_STORE_PERMISSION:
    'Allow s3:GetObject, s3:PutObject and s3:DeleteObject on the objects, and s3:ListBucket on the bucket. Without s3:ListBucket, S3 returns status 403 for a key that does not exist.',
  ERR_STORE_CONTAINER: 'Create the bucket, or check its name, and the region and endpoint of the client.',
  ERR_STORE_UNREACHABLE:
    'Check the region or endpoint of the client, DNS, and whether a firewall blocks the connection.',
  ERR_STORE_TIMEOUT: 'Check the network, and whether the service is overloaded.',
  ERR_STORE_FAILED: 'See the cause of this error for the message of the service.',
}

/** Why each error occurred. The service's code and status follow in parentheses. */
const reasons: Record<Exclude<ServiceErrorCode, 'ERR_STORE_FAILED'>, string> = {
  ERR_STORE_CREDENTIALS: 'S3 rejected the credentials',
  ERR_STORE_PERMISSION: 'S3 denied access',
  ERR_STORE_CONTAINER: 'the bucket does not exist, or is in another region',
  ERR_STORE_UNREACHABLE: 'cannot connect to S3',
  ERR_STORE_TIMEOUT: 'timed out',
}

/** See https://github.com/aws/aws-sdk-js-v3/issues/6810. */
const checksumAdvice =
  "If the service does not support the checksums of the SDK, create the S3Client with requestChecksumCalculation: 'WHEN_REQUIRED' and responseChecksumValidation: 'WHEN_REQUIRED'."
const encryptionAdvice =
  "If the service does not support server-side encryption, pass serverSideEncryption: 'none'."

/**
 * Converts an error of the SDK. Returns `undefined` for NoSuchKey, the only response that means that the object does not exist.
 *
 * The cause is a copy of the relevant fields: the SDK's error refers to the response, which may quote the signed
 * request.
 */
export function toStoreError(thrown: unknown, description: string, bucket: string): StoreError | undefined {
  const error = toError(thrown) as Error & ServiceErrorLike
  const statusCode = error.$metadata?.httpStatusCode
  if (statusCode === 404 && error.name === 'NoSuchKey') return undefined
  const code = classify(statusCode, error)
  const message = firstLine(error.message)
  const cause = Object.assign(new Error(message), {
    name: error.name,
    code: error.code,
    requestId: error.$metadata?.requestId,
  })
  const reason = `${reasonFor(code, statusCode)} (${detail(error, code, message)})`
  const suggestion = code === 'ERR_STORE_FAILED' ? adviceFor(statusCode, message) : advice[code]
  return new StoreError(code, failureMessage(description, nameOf(bucket), reason, suggestion), {
    cause,
    statusCode,
  })
}

/** Returns the message of an operation that took longer than `ms`. */
export const timeoutMessage = (ms: number, description: string, bucket: string): string =>
  failureMessage(description, nameOf(bucket), `timed out after ${ms} ms`, advice.ERR_STORE_TIMEOUT)

/** Names a bucket in messages. */
export const nameOf = (bucket: string): string => `bucket "${bucket}"`

function reasonFor(code: ServiceErrorCode, status: number | undefined): string {
  if (code !== 'ERR_STORE_FAILED') return reasons[code]
  if (status === 501) return 'the service does not support a header of the request'
  return status === undefined ? 'unexpected error' : 'unexpected response from S3'
}

/**
 * Returns the service's code and status. Without a response, returns the message of the network error, which names the
 * host.
 */
function detail(error: ServiceErrorLike, code: ServiceErrorCode, message: string): string {
  const status = error.$metadata?.httpStatusCode
  if (status !== undefined) return `${error.name}, status ${status}`
  return code === 'ERR_STORE_UNREACHABLE' && message ? message : (error.code ?? error.name)
}

/**
 * Returns what to do about an unexpected response. Some S3-compatible services answer 501 to a write because of the
 * checksum or the encryption that it requests; others answer 400, and name the header.
 */
function adviceFor(status: number | undefined, message: string): string {
  if (/x-amz-(sdk-)?checksum/i.test(message)) return checksumAdvice
  if (/server.side encryption/i.test(message)) return encryptionAdvice
  return status === 501 ? `${checksumAdvice} ${encryptionAdvice}` : advice.ERR_STORE_FAILED
}

function classify(status: number | undefined, { name, code }: ServiceErrorLike): ServiceErrorCode {
  if (credentialCodes.test(name) || status === 401) return 'ERR_STORE_CREDENTIALS'
  if (bucketCodes.test(name)) return 'ERR_STORE_CONTAINER'
  if (status === 403) return 'ERR_STORE_PERMISSION'
  if (status !== undefined) return 'ERR_STORE_FAILED'
  // A time-out of the client. A reset connection has the same name, but also a code.
  if (code === 'ETIMEDOUT' || (name === 'TimeoutError' && !code)) return 'ERR_STORE_TIMEOUT'
  return code ? 'ERR_STORE_UNREACHABLE' : 'ERR_STORE_FAILED'
}
