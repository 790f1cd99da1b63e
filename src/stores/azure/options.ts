import { boolean, nonEmptyString, optional, plainObject } from '../../util/validate.js'

export interface AzureBlobCertCacheOptions {
  /**
   * Put before every key to make the blob's name, for a container shared with something else: for example
   * `tls/`. Printable ASCII without `\ : * ? " < > |`. Default: none, as azcertcache has it.
   */
  prefix?: string
  /** Bound of one operation, its answer's body included, in ms: 1 to 300,000, default 5,000. */
  timeoutMs?: number
}

/** An Azure AD credential, for example `new DefaultAzureCredential()` of `@azure/identity`. */
export interface TokenCredential {
  getToken(
    scopes: string | string[],
    options?: { abortSignal?: AbortSignal },
  ): Promise<{ token: string; expiresOnTimestamp: number } | null>
}

/**
 * Where the container is and how to be let in. Exactly one of: `accountKey` (with `accountName`),
 * `connectionString`, `credential` (with `accountName` or `endpoint`), or an `endpoint` with a SAS in its query.
 */
export interface AzureConnectOptions extends AzureBlobCertCacheOptions {
  /** The container's name; it must exist unless `createContainer` is set. */
  containerName: string
  /** The storage account, for shared key or token. */
  accountName?: string
  /** One of the account's two keys, base64. */
  accountKey?: string
  /** As the portal shows it; `UseDevelopmentStorage=true` for Azurite on its default port. */
  connectionString?: string
  credential?: TokenCredential
  /**
   * The Blob service's URL, default `https://<accountName>.blob.core.windows.net`. Or a SAS URL, of the account
   * or of this container; it needs read, add, create, write and delete.
   */
  endpoint?: string
  /** Create the container if it is missing, without anonymous access. Needs more permission. Default false. */
  createContainer?: boolean
  /** Connect even if anybody can read the container, and so its private keys. Default false: `ERR_STORE_PUBLIC`. */
  allowAnonymousRead?: boolean
}

/** The parts of {@link AzureConnectOptions} that the SDK's client is made of. */
export interface CheckedConnectOptions {
  readonly containerName: string
  readonly accountName: string | undefined
  readonly accountKey: string | undefined
  readonly connectionString: string | undefined
  readonly containerUrl: string
}

/** https://learn.microsoft.com/azure/storage/common/storage-account-overview#storage-account-name */
const accountPattern = /^[a-z0-9]{3,24}$/
/** https://learn.microsoft.com/rest/api/storageservices/naming-and-referencing-containers--blobs--and-metadata */
const containerPattern = /^(?=.{3,63}$)[a-z0-9]+(-[a-z0-9]+)*$|^\$(root|web|logs)$/

/** Also of sovereign clouds, private endpoints and DNS zones: `….blob.core.windows.net`, `….z01.blob.storage.azure.net`. */
const azureHost = /\.blob\.(core|storage)\./

export const isContainerName = (name: string): boolean => containerPattern.test(name)

export const wrong = (option: string, what: string): TypeError =>
  new TypeError(`AzureBlobCertCache.connect: ${option} ${what}`)

/** @throws {TypeError} naming the option that is wrong or missing */
export function checkConnectOptions(options: AzureConnectOptions): CheckedConnectOptions {
  const given = plainObject('AzureBlobCertCache.connect: options', options)
  const of = <T>(name: string, check: (name: string, value: unknown) => T) =>
    optional(`AzureBlobCertCache.connect: ${name}`, given[name], check)
  const containerName = nonEmptyString('AzureBlobCertCache.connect: containerName', given.containerName)
  const accountName = of('accountName', nonEmptyString)
  const accountKey = of('accountKey', nonEmptyString)
  const connectionString = of('connectionString', nonEmptyString)
  const endpoint = parseEndpoint(of('endpoint', nonEmptyString))
  of('createContainer', boolean)
  of('allowAnonymousRead', boolean)
  // Both become parts of a URL, and the key signs what is sent there.
  if (!isContainerName(containerName))
    throw wrong('containerName', 'must be 3 to 63 lower-case letters, digits and single hyphens')
  if (accountName !== undefined && !accountPattern.test(accountName))
    throw wrong('accountName', 'must be 3 to 24 lower-case letters and digits')
  if (given.credential !== undefined && typeof options.credential?.getToken !== 'function')
    throw wrong('credential', 'must be a TokenCredential, with a method getToken')
  const sas = endpoint?.searchParams.has('sig') ?? false
  const ways = [accountKey !== undefined, connectionString !== undefined, given.credential !== undefined, sas]
  if (ways.filter(Boolean).length !== 1) {
    throw new TypeError(
      'AzureBlobCertCache.connect: give exactly one of accountKey (with accountName), connectionString, credential, or an endpoint with a SAS',
    )
  }
  if (connectionString !== undefined && (endpoint ?? accountName) !== undefined)
    throw wrong('connectionString', 'says where the account is: leave endpoint and accountName out')
  if (accountKey !== undefined && accountName === undefined)
    throw wrong('accountName', 'is missing: accountKey needs it')
  if (given.credential !== undefined && accountName === undefined && endpoint === undefined)
    throw wrong('credential', 'needs accountName or endpoint')
  const serviceUrl =
    endpoint ?? new URL(`https://${accountName ?? 'connection-string'}.blob.core.windows.net`)
  const containerUrl = containerUrlOf(serviceUrl, containerName, sas)
  return { containerName, accountName, accountKey, connectionString, containerUrl }
}

/** The container's URL; a SAS URL of the container has its name in the path already. */
function containerUrlOf(serviceUrl: URL, containerName: string, sas: boolean): string {
  const path = serviceUrl.pathname.split('/').filter(Boolean)
  // Without a SAS it is the account's, which at an emulator is in the path as well, and may be called the same.
  if (sas && path.at(-1) === containerName) path.pop()
  // At Azure what else is in the path would be the container, and the container's name a part of the blobs'.
  if (path.length > 0 && azureHost.test(serviceUrl.hostname))
    throw wrong(
      'endpoint',
      'must be the Blob service’s URL, or a SAS URL of the account or of containerName’s container: its path leads elsewhere',
    )
  const url = new URL(serviceUrl)
  url.pathname = [...path, containerName].join('/')
  return url.href
}

function parseEndpoint(endpoint: string | undefined): URL | undefined {
  if (endpoint === undefined) return undefined
  const url = URL.canParse(endpoint) ? new URL(endpoint) : undefined
  if (!url || !/^https?:$/.test(url.protocol)) throw wrong('endpoint', 'must be an http or https URL')
  return url
}
