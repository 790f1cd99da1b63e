import { firstLine } from '../../cache/service-errors.js'
import { type ServiceErrorCode, StoreError, toError } from '../../util/errors.js'

/** The fields of the SDK's `RestError` that are used. */
export interface RestErrorLike {
  readonly code?: string
  readonly statusCode?: number
  readonly details?: { readonly errorCode?: string; readonly requestId?: string }
  readonly response?: { readonly headers: { get(name: string): string | undefined } }
}

// https://learn.microsoft.com/rest/api/storageservices/common-rest-api-error-codes
const credentialCodes =
  /^(AuthenticationFailed|InvalidAuthenticationInfo|NoAuthenticationInformation|KeyBasedAuth)/
// The message of AuthenticationFailed. Azurite sends it with the code AuthorizationFailure.
const credentialMessage = /^Server failed to authenticate the request/

/** What to do about each error: the last sentence of its message. */
export const advice: Readonly<Record<ServiceErrorCode, string>> = {
  ERR_STORE_CREDENTIALS:
    'Check the account name and key, or whether the SAS or token has expired, and that this machine’s clock is right.',
  ERR_STORE_PERMISSION:
    'Give the identity the role "Storage Blob Data Contributor" on the container (a new role takes up to 10 minutes), or use a SAS with the permissions read, add, create, write and delete (and list, for listings); check the storage account’s firewall.',
  ERR_STORE_CONTAINER: 'Create the container, or pass createContainer: true to connect().',
  ERR_STORE_UNREACHABLE: 'Check the account name or endpoint, DNS, and whether a firewall blocks the way.',
  ERR_STORE_TIMEOUT: 'It may be overloaded or unreachable from here.',
  ERR_STORE_FAILED: 'See the cause for the service’s own code.',
}

/** What to do if a credential returned no token. */
export const tokenAdvice =
  'Check that this machine has an identity, or pass accountKey, connectionString or an endpoint with a SAS.'

/**
 * Converts an error of the SDK. Returns `undefined` for BlobNotFound, the only response that means that the key does not
 * exist.
 *
 * The cause is a copy of the relevant fields: the SDK's error refers to the request and its credentials.
 */
export function toStoreError(
  thrown: unknown,
  description: string,
  container: string,
): StoreError | undefined {
  const error = toError(thrown) as Error & RestErrorLike
  const serviceCode = error.details?.errorCode ?? error.code
  if (error.statusCode === 404 && serviceCode === 'BlobNotFound') return undefined
  const code = classify(error, serviceCode)
  const statusText = error.statusCode === undefined ? '' : `, status ${error.statusCode}`
  const reason = redactSignatures(`${serviceCode ?? error.name}${statusText}`)
  const cause = Object.assign(new Error(causeMessage(error)), {
    name: error.name,
    code: serviceCode && redactSignatures(serviceCode),
    requestId: error.details?.requestId,
  })
  return new StoreError(
    code,
    `Azure Blob Storage could not ${description} in container ${container} (${reason}). ${advice[code]}`,
    { cause, statusCode: error.statusCode },
  )
}

function classify(error: Error & RestErrorLike, serviceCode: string | undefined): ServiceErrorCode {
  const { statusCode: status, message } = error
  if (status === undefined) return serviceCode ? 'ERR_STORE_UNREACHABLE' : 'ERR_STORE_FAILED'
  if (status === 401) return 'ERR_STORE_CREDENTIALS'
  if (status === 403) {
    const isCredentialError = credentialCodes.test(serviceCode ?? '') || credentialMessage.test(message)
    return isCredentialError ? 'ERR_STORE_CREDENTIALS' : 'ERR_STORE_PERMISSION'
  }
  if (serviceCode === 'ContainerNotFound') return 'ERR_STORE_CONTAINER'
  return 'ERR_STORE_FAILED'
}

/**
 * Returns the first line of the SDK's message, unless the response was not from Azure: the SDK quotes an unparsable
 * response in full, and throws a TypeError or RangeError for unexpected XML.
 */
function causeMessage({ name, code, statusCode = 0, message }: Error & RestErrorLike): string {
  const isForeignResponse =
    code === 'PARSE_ERROR' ||
    name === 'TypeError' ||
    name === 'RangeError' ||
    (statusCode >= 200 && statusCode < 300)
  return isForeignResponse
    ? 'the answer is not one of Azure Blob Storage'
    : firstLine(redactSignatures(message))
}

/** Redacts SAS signatures, also URL-encoded or HTML-escaped. The service or a proxy may quote the requested URL. */
const redactSignatures = (text: string) =>
  text.replace(/(sig(?:=|%(?:25)*3d|&#(?:61|x3d);))[^&\s"'<>]+/gi, '$1…')
