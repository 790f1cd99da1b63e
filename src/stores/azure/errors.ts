import { failureMessage, firstLine } from '../../cache/service-errors.js'
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

/** What to do about each error: the last sentences of its message. */
export const advice: Readonly<Record<ServiceErrorCode, string>> = {
  ERR_STORE_CREDENTIALS:
    'Check the account name and key, whether the SAS or token has expired, and the clock of this machine.',
  ERR_STORE_PERMISSION:
    'Assign the role "Storage Blob Data Contributor" on the container (this takes up to 10 minutes), or use a SAS with the permissions read, add, create, write and delete (also list, to list). Check the firewall of the storage account.',
  ERR_STORE_CONTAINER: 'Create the container, or pass createContainer: true to connect().',
  ERR_STORE_UNREACHABLE:
    'Check the account name or endpoint, DNS, and whether a firewall blocks the connection.',
  ERR_STORE_TIMEOUT: 'Check the network, and whether the service is overloaded.',
  ERR_STORE_FAILED: 'See the cause of this error for the message of the service.',
}

/** Why each error occurred. The service's code and status follow in parentheses. */
const reasons: Readonly<Record<Exclude<ServiceErrorCode, 'ERR_STORE_FAILED'>, string>> = {
  ERR_STORE_CREDENTIALS: 'Azure Blob Storage rejected the credentials',
  ERR_STORE_PERMISSION: 'Azure Blob Storage denied access',
  ERR_STORE_CONTAINER: 'the container does not exist',
  ERR_STORE_UNREACHABLE: 'cannot connect to Azure Blob Storage',
  ERR_STORE_TIMEOUT: 'timed out',
}

const immutableAdvice =
  'Certificates are replaced at each renewal: use a container without an immutability policy, or remove the policy or legal hold.'

/** Why the service does not change a blob, and what to do: https://learn.microsoft.com/rest/api/storageservices/blob-service-error-codes */
const refusals: Readonly<Partial<Record<string, readonly [reason: string, advice: string]>>> = {
  LeaseIdMissing: [
    'another program holds a lease on the blob',
    'Break the lease, and find out which program acquired it: this package leases only blobs whose names end with "+lock".',
  ],
  BlobImmutableDueToPolicy: ['an immutability policy protects the blob', immutableAdvice],
  BlobImmutableDueToLegalHold: ['a legal hold protects the blob', immutableAdvice],
  SnapshotsPresent: ['the blob has snapshots', 'Delete the snapshots.'],
}

/** What to do if a response is not that of a Blob service for a container, such as the status 404 for an account. */
export const endpointAdvice =
  'Check the endpoint: it must be the URL of a Blob service; for an emulator, with the account name as its path.'

/** What to do if a credential returned no token. */
export const tokenAdvice =
  'Check that this machine has an identity, or pass accountKey, connectionString, or an endpoint with a SAS.'

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
  const message = causeMessage(error)
  const cause = Object.assign(new Error(message), {
    name: error.name,
    code: serviceCode && redactSignatures(serviceCode),
    requestId: error.details?.requestId,
  })
  const [refusal, refusalAdvice] = refusals[serviceCode ?? ''] ?? []
  const reason = `${refusal ?? reasonFor(code, error.statusCode)} (${redactSignatures(detail(error, serviceCode, message))})`
  const isWrongEndpoint = code === 'ERR_STORE_FAILED' && error.statusCode === 404
  const whatToDo = refusalAdvice ?? (isWrongEndpoint ? endpointAdvice : advice[code])
  return new StoreError(code, failureMessage(description, nameOf(container), reason, whatToDo), {
    cause,
    statusCode: error.statusCode,
  })
}

/** Returns the message of an operation that took longer than `ms`. */
export const timeoutMessage = (ms: number, description: string, container: string): string =>
  failureMessage(description, nameOf(container), `timed out after ${ms} ms`, advice.ERR_STORE_TIMEOUT)

/** Names a container in messages. */
export const nameOf = (container: string): string => `container "${container}"`

function reasonFor(code: ServiceErrorCode, status: number | undefined): string {
  if (code !== 'ERR_STORE_FAILED') return reasons[code]
  return status === undefined ? 'unexpected error' : 'unexpected response from Azure Blob Storage'
}

/**
 * Returns the service's code and status. Without a response, returns the message of the network error, which names the
 * host.
 */
function detail(
  { statusCode, name }: Error & RestErrorLike,
  code: string | undefined,
  message: string,
): string {
  if (statusCode !== undefined) return `${code ?? name}, status ${statusCode}`
  return code === undefined ? name : message || code
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
    ? 'the response is not from Azure Blob Storage'
    : firstLine(redactSignatures(message))
}

/** Redacts SAS signatures, also URL-encoded or HTML-escaped. The service or a proxy may quote the requested URL. */
const redactSignatures = (text: string) =>
  text
    .replace(/(sig(?:=|%(?:25)*3d|&#(?:61|x3d);))[^&\s"'<>]+/gi, '$1…')
    .replace(/((?:AccountKey|SharedAccessSignature)=)[^;\s"'<>]+/gi, '$1…')
