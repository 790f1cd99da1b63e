import { boolean, nonEmptyString, type OptionNames, optional, plainObject } from '../../util/validate.js'

/** Options of the constructor of `AzureBlobCertCache`. */
export interface AzureBlobCertCacheOptions {
  /**
   * Prefix of every blob name, for a container that also holds other data: for example `tls/`. Printable ASCII without
   * `\ : * ? " < > |`. Default: none, like azcertcache.
   */
  prefix?: string
  /** Time-out of one operation in ms, including retries and reading the response body: 1 to 300,000. Default: 5,000. */
  timeoutMs?: number
}

/** A Microsoft Entra ID (Azure AD) credential, for example `new DefaultAzureCredential()` from `@azure/identity`. */
export interface TokenCredential {
  getToken(
    scopes: string | string[],
    options?: { abortSignal?: AbortSignal },
  ): Promise<{ token: string; expiresOnTimestamp: number } | null>
}

/**
 * The location of the container, and the credentials. Pass exactly one of `accountKey` (with `accountName`),
 * `connectionString`, `credential` (with `accountName` or `endpoint`), or an `endpoint` with a SAS in its query.
 */
export interface AzureConnectOptions extends AzureBlobCertCacheOptions {
  /** The name of the container. It must exist unless `createContainer` is `true`. */
  containerName: string
  /** The name of the storage account, for `accountKey` or `credential`. */
  accountName?: string | undefined
  /** One of the account's two access keys, base64. */
  accountKey?: string | undefined
  /** The connection string from the Azure portal, or `UseDevelopmentStorage=true` for Azurite on its default port. */
  connectionString?: string | undefined
  /** A token credential. Its first token is requested by `connect()`, with a time-out of 60 s. */
  credential?: TokenCredential
  /**
   * The URL of the Blob service. Default: `https://<accountName>.blob.core.windows.net`. Or a SAS URL of the account or of
   * this container, with the permissions read, add, create, write and delete.
   */
  endpoint?: string | undefined
  /**
   * Creates the container, without anonymous access, if it does not exist. Needs the permission to create containers.
   * Default: `false`.
   */
  createContainer?: boolean
  /**
   * Connects even if the container, and with it the private keys, is publicly readable. Default: `false`; rejects with
   * `ERR_STORE_PUBLIC`.
   */
  allowAnonymousRead?: boolean
}

const connectOptionNames: OptionNames<AzureConnectOptions> = {
  containerName: true,
  accountName: true,
  accountKey: true,
  connectionString: true,
  credential: true,
  endpoint: true,
  createContainer: true,
  allowAnonymousRead: true,
  prefix: true,
  timeoutMs: true,
}

const credentialNames = ['accountKey', 'connectionString', 'credential', 'endpoint'] as const

/** The validated options, from which the SDK's client is created. */
export type CheckedConnectOptions = AzureConnectOptions & { containerUrl: string }

/** https://learn.microsoft.com/azure/storage/common/storage-account-overview#storage-account-name */
const accountPattern = /^[a-z0-9]{3,24}$/
/**
 * A host of Azure, including sovereign clouds, private endpoints and DNS zones: `….blob.core.windows.net`,
 * `….z01.blob.storage.azure.net`.
 */
const azureHost = /\.blob\.(core|storage)\./

/** https://learn.microsoft.com/rest/api/storageservices/naming-and-referencing-containers--blobs--and-metadata */
export const isContainerName = (name: string): boolean =>
  /^(?=.{3,63}$)[a-z0-9]+(-[a-z0-9]+)*$|^\$(root|web|logs)$/.test(name)

export const optionError = (option: string, problem: string): TypeError =>
  new TypeError(`AzureBlobCertCache.connect: ${option} ${problem}`)

/** @throws {TypeError} naming the invalid or missing option */
export function checkConnectOptions(options: AzureConnectOptions): CheckedConnectOptions {
  const rawOptions = plainObject('AzureBlobCertCache.connect: options', options, connectOptionNames)
  const check = <T>(name: keyof AzureConnectOptions, validate: (name: string, value: unknown) => T) =>
    optional(`AzureBlobCertCache.connect: ${name}`, rawOptions[name], validate)
  const containerName = nonEmptyString('AzureBlobCertCache.connect: containerName', rawOptions.containerName)
  const accountName = check('accountName', nonEmptyString)
  const accountKey = check('accountKey', nonEmptyString)
  const connectionString = check('connectionString', nonEmptyString)
  const endpoint = check('endpoint', httpUrl)
  check('createContainer', boolean)
  check('allowAnonymousRead', boolean)
  // Both become parts of the URL to which the key's signatures are sent.
  if (!isContainerName(containerName))
    throw optionError('containerName', 'must be 3 to 63 lower-case letters, digits and single hyphens')
  if (accountName !== undefined && !accountPattern.test(accountName))
    throw optionError('accountName', 'must be 3 to 24 lower-case letters and digits')
  if (rawOptions.credential !== undefined && typeof options.credential?.getToken !== 'function')
    throw optionError('credential', 'must be a TokenCredential, with a method getToken')
  const hasSas = endpoint?.searchParams.has('sig') ?? false
  if ([accountKey, connectionString, rawOptions.credential, hasSas].filter(Boolean).length !== 1) {
    // A variable of the environment that is not set is the most frequent cause.
    const unset = credentialNames.find((name) => name in rawOptions && rawOptions[name] === undefined)
    if (unset) throw optionError(unset, 'is undefined: set the variable or secret that you read it from')
    throw new TypeError(
      'AzureBlobCertCache.connect: pass exactly one of accountKey (with accountName), connectionString, credential, or an endpoint with a SAS',
    )
  }
  if (connectionString !== undefined && (endpoint ?? accountName) !== undefined)
    throw optionError('connectionString', 'already names the account: remove endpoint and accountName')
  if (accountKey !== undefined && accountName === undefined)
    throw optionError('accountName', 'is required with accountKey')
  if (rawOptions.credential !== undefined && accountName === undefined && endpoint === undefined)
    throw optionError('credential', 'requires accountName or endpoint')
  const serviceUrl =
    endpoint ?? new URL(`https://${accountName ?? 'connection-string'}.blob.core.windows.net`)
  return { ...options, containerUrl: toContainerUrl(serviceUrl, containerName, hasSas) }
}

/** Returns the container's URL. The path of a container's SAS URL already ends with its name. */
function toContainerUrl(serviceUrl: URL, containerName: string, hasSas: boolean): string {
  const path = serviceUrl.pathname.split('/').filter(Boolean)
  // Without a SAS, a last segment with this name is the account: an emulator has the account in the path.
  if (hasSas && path.at(-1) === containerName) path.pop()
  // Azure would take a remaining segment for the container, and the container's name for a part of the blob name.
  if (path.length > 0 && azureHost.test(serviceUrl.hostname))
    throw optionError(
      'endpoint',
      'must be the URL of the Blob service, or a SAS URL of the account or of the container: its path names another container',
    )
  const url = new URL(serviceUrl)
  url.pathname = [...path, containerName].join('/')
  return url.href
}

function httpUrl(name: string, value: unknown): URL {
  const text = nonEmptyString(name, value)
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url && /^https?:$/.test(url.protocol)) return url
  throw new TypeError(`${name} must be an http or https URL`)
}
