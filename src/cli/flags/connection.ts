import {
  type AzureConnectOptions,
  isContainerName,
  type TokenCredential,
} from '../../stores/azure/options.js'
import { toError } from '../../util/errors.js'
import { type Flags, type ParsedArguments, stringFlag } from '../console/arguments.js'
import { CommandError, UsageError } from '../console/errors.js'

export const connectionFlags: Flags = {
  container: { value: 'NAME', help: 'container (required)' },
  account: { value: 'NAME', help: 'storage account (default: AZURE_STORAGE_ACCOUNT)' },
  endpoint: {
    value: 'URL',
    help: 'URL of the Blob service (default: https://ACCOUNT.blob.core.windows.net)',
  },
  'blob-prefix': {
    value: 'TEXT',
    help: 'value of the option prefix of AzureBlobCertCache, if your servers set it',
  },
}

export interface ConnectOptions extends AzureConnectOptions {
  readonly containerName: string
  readonly prefix: string
}

/**
 * Converts the connection flags and the environment to options of the store.
 * @throws {UsageError} for a missing or invalid flag or variable
 * @throws {CommandError} if there are no credentials
 */
export async function connectOptions(args: ParsedArguments): Promise<ConnectOptions> {
  const containerName = stringFlag(args, 'container')
  if (containerName === undefined) throw new UsageError('missing flag: --container')
  if (!isContainerName(containerName)) {
    throw new UsageError('--container must be 3 to 63 lower-case letters, digits and single hyphens')
  }
  const prefix = stringFlag(args, 'blob-prefix') ?? ''
  return { containerName, prefix, ...(await accessOptions(args)) }
}

/** Flags override the environment. An account key is preferred to a SAS, and a SAS to an identity. */
async function accessOptions(args: ParsedArguments): Promise<Partial<AzureConnectOptions>> {
  const {
    AZURE_STORAGE_CONNECTION_STRING: connectionString,
    AZURE_STORAGE_ACCOUNT,
    AZURE_STORAGE_KEY: accountKey,
    AZURE_STORAGE_SAS_TOKEN: sasToken,
  } = process.env
  const endpoint = parseEndpoint(stringFlag(args, 'endpoint'))
  const accountFlag = stringFlag(args, 'account')
  if (connectionString && accountFlag === undefined && endpoint === undefined) return { connectionString }
  const accountName = accountFlag ?? (AZURE_STORAGE_ACCOUNT || undefined)
  if (accountName === undefined && (endpoint === undefined || accountKey)) {
    throw new UsageError(
      `missing storage account. Pass --account, or set AZURE_STORAGE_ACCOUNT or AZURE_STORAGE_CONNECTION_STRING.${connectionStringHint()}`,
    )
  }
  if (accountName !== undefined && !/^[a-z0-9]{3,24}$/.test(accountName)) {
    throw new UsageError('the storage account name must be 3 to 24 lower-case letters and digits')
  }
  const location = { ...(accountName && { accountName }), ...(endpoint && { endpoint: endpoint.href }) }
  if (accountKey) return { ...location, accountKey }
  if (sasToken) return { endpoint: addSas(endpoint, accountName, sasToken) }
  return { ...location, credential: await loadDefaultCredential() }
}

/** Returns a sentence to add to errors about credentials if a connection string is set, but a flag overrides it. */
export const connectionStringHint = (): string =>
  process.env.AZURE_STORAGE_CONNECTION_STRING
    ? ' AZURE_STORAGE_CONNECTION_STRING is ignored because --account or --endpoint is set.'
    : ''

function parseEndpoint(endpoint: string | undefined): URL | undefined {
  if (endpoint === undefined) return undefined
  if (!URL.canParse(endpoint) || !/^https?:$/.test(new URL(endpoint).protocol)) {
    throw new UsageError('--endpoint must be an http or https URL')
  }
  const url = new URL(endpoint)
  // Other users of the machine can read a process's arguments.
  if (url.search || url.username || url.password) {
    throw new UsageError('--endpoint must not contain credentials. Put a SAS in AZURE_STORAGE_SAS_TOKEN')
  }
  return url
}

function addSas(endpoint: URL | undefined, accountName: string | undefined, sasToken: string): string {
  const url = new URL(endpoint ?? `https://${accountName}.blob.core.windows.net`)
  url.search = sasToken.replace(/^\?/, '')
  if (!url.searchParams.has('sig'))
    throw new UsageError('AZURE_STORAGE_SAS_TOKEN is not a SAS: it has no signature (sig)')
  return url.href
}

async function loadDefaultCredential(): Promise<TokenCredential> {
  try {
    const { DefaultAzureCredential } = await import('@azure/identity')
    return new DefaultAzureCredential()
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code !== 'ERR_MODULE_NOT_FOUND') {
      throw new CommandError(`cannot load @azure/identity: ${toError(thrown).message}`)
    }
    throw new CommandError(
      `missing credentials. Set AZURE_STORAGE_KEY, AZURE_STORAGE_SAS_TOKEN or AZURE_STORAGE_CONNECTION_STRING, or install @azure/identity to use a managed identity or "az login".${connectionStringHint()}`,
    )
  }
}
