import { type ServiceErrorCode, StoreError, toError } from '../../util/errors.js'

/** The parts of the SDK's `RestError` that are looked at. */
interface RestErrorLike {
  readonly message: string
  readonly code?: string
  readonly statusCode?: number
  readonly details?: { readonly errorCode?: string; readonly requestId?: string }
}

// https://learn.microsoft.com/rest/api/storageservices/common-rest-api-error-codes
const credentialCodes =
  /^(AuthenticationFailed|InvalidAuthenticationInfo|NoAuthenticationInformation|KeyBasedAuth)/
// AuthenticationFailed's text, which Azurite sends with the code AuthorizationFailure.
const credentialText = /^Server failed to authenticate the request/

/** The last sentence of each message: in the words of the library's options. */
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

/** The same where a credential gave no token. */
export const tokenAdvice =
  'Check that this machine has an identity, or pass accountKey, connectionString or an endpoint with a SAS.'

/**
 * The SDK's error as ours, or `'BlobNotFound'`: the one answer that means that a key does not exist.
 * The cause is a copy of the telling fields: the original holds the request with its credentials.
 */
export function toStoreError(thrown: unknown, what: string, container: string): StoreError | 'BlobNotFound' {
  const error = toError(thrown) as Error & RestErrorLike
  const serviceCode = error.details?.errorCode ?? error.code
  if (error.statusCode === 404 && serviceCode === 'BlobNotFound') return 'BlobNotFound'
  const code = classify(error.statusCode, serviceCode, error.message)
  const answer = error.statusCode === undefined ? '' : `, status ${error.statusCode}`
  const told = withoutSignatures(`${serviceCode ?? error.name}${answer}`)
  const cause = Object.assign(new Error(said(error)), {
    name: error.name,
    code: serviceCode && withoutSignatures(serviceCode),
    requestId: error.details?.requestId,
  })
  return new StoreError(
    code,
    `Azure Blob Storage could not ${what} in container ${container} (${told}). ${advice[code]}`,
    { cause, statusCode: error.statusCode },
  )
}

function classify(
  status: number | undefined,
  serviceCode: string | undefined,
  message: string,
): ServiceErrorCode {
  if (status === undefined) return serviceCode ? 'ERR_STORE_UNREACHABLE' : 'ERR_STORE_FAILED'
  if (status === 401) return 'ERR_STORE_CREDENTIALS'
  if (status === 403) {
    const credentials = credentialCodes.test(serviceCode ?? '') || credentialText.test(message)
    return credentials ? 'ERR_STORE_CREDENTIALS' : 'ERR_STORE_PERMISSION'
  }
  if (serviceCode === 'ContainerNotFound') return 'ERR_STORE_CONTAINER'
  return 'ERR_STORE_FAILED'
}

/** The SDK quotes an answer that it can't read, whole; and stumbles over one that is XML but not the service's. */
function said({ name, code, statusCode = 0, message }: Error & RestErrorLike): string {
  const isStrange =
    code === 'PARSE_ERROR' ||
    name === 'TypeError' ||
    name === 'RangeError' ||
    (statusCode >= 200 && statusCode < 300)
  return isStrange ? 'the answer is not one of Azure Blob Storage' : firstLine(withoutSignatures(message))
}

/** A proxy, or the service, may say the address that was asked for, which has the SAS in it; in a page even escaped. */
const withoutSignatures = (text: string) =>
  text.replace(/(sig(?:=|%(?:25)*3d|&#(?:61|x3d);))[^&\s"'<>]+/gi, '$1…')

export const firstLine = (message: string) => message.split('\n', 1)[0] as string
