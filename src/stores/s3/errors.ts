import { firstLine } from '../../cache/service-errors.js'
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

/** What to do about each error: the last sentence of its message. */
const advice: Record<ServiceErrorCode, string> = {
  ERR_STORE_CREDENTIALS:
    'Check the access key and its secret, or whether the token has expired, the client’s region, and that this machine’s clock is right.',
  ERR_STORE_PERMISSION:
    'Allow s3:GetObject, s3:PutObject and s3:DeleteObject on the objects and s3:ListBucket on the bucket (without it S3 answers so for whatever is missing).',
  ERR_STORE_CONTAINER: 'Create the bucket, or check its name and the client’s region and endpoint.',
  ERR_STORE_UNREACHABLE: 'Check the client’s region or endpoint, DNS, and whether a firewall blocks the way.',
  ERR_STORE_TIMEOUT: 'It may be overloaded or unreachable from here.',
  ERR_STORE_FAILED: 'See the cause for the service’s own code.',
}

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
  const reason = statusCode === undefined ? (error.code ?? error.name) : `${error.name}, status ${statusCode}`
  const cause = Object.assign(new Error(firstLine(error.message)), {
    name: error.name,
    code: error.code,
    requestId: error.$metadata?.requestId,
  })
  return new StoreError(
    code,
    `S3 could not ${description} in bucket ${bucket} (${reason}). ${advice[code]}`,
    { cause, statusCode },
  )
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
