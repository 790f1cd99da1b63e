import {
  defaultPrefix,
  type KeyType,
  letsEncryptProduction,
  type StorageLayout,
  storageLayout,
} from '../../certificates/storage-layout.js'
import { AzureBlobCertCache } from '../../stores/azure/azure-blob-cert-cache.js'
import { advice, toStoreError } from '../../stores/azure/errors.js'
import {
  type AzureConnectOptions,
  isContainerName,
  type TokenCredential,
} from '../../stores/azure/options.js'
import { systemClock } from '../../util/clock.js'
import { withDeadline } from '../../util/deadline.js'
import { StoreError, toError } from '../../util/errors.js'
import { CommandError, type Flags, type Given, textOf, UsageError } from '../console/arguments.js'
import { messageOf } from '../console/error-message.js'

export const connectionFlags: Flags = {
  container: { value: 'NAME', help: 'the container; required' },
  account: { value: 'NAME', help: 'the storage account; default: AZURE_STORAGE_ACCOUNT' },
  endpoint: {
    value: 'URL',
    help: 'the Blob service, where it is not https://ACCOUNT.blob.core.windows.net',
  },
  'blob-prefix': {
    value: 'TEXT',
    help: 'the store’s option prefix, for a container shared with something else',
  },
}

export const caFlags: Flags = {
  directory: { value: 'URL', help: 'the CA’s directory; default: Let’s Encrypt’s production' },
  'key-prefix': { value: 'TEXT', help: 'the manager’s option acme.keyPrefix, where it is set' },
}

/** Of the commands that are about all CAs, unless one is chosen. */
export const anyCaFlags: Flags = {
  ...caFlags,
  directory: { value: 'URL', help: 'a CA’s directory, to see its alone; default: all CAs' },
}

/** A handshake would not wait so long; an operator does. */
const requestMs = 15_000

export interface Connection {
  readonly store: AzureBlobCertCache
  readonly containerName: string
  /** What the service answers to those without credentials who ask for a key that isn't there. */
  readAnonymously(key: string): Promise<AnonymousAnswer>
  /** `undefined` if there is no such blob. */
  look(key: string): Promise<BlobState | undefined>
  /** Rejects with status 412 if it was written since. */
  deleteUnchanged(key: string, state: BlobState): Promise<void>
}

/** What a store has no method for. */
export interface BlobState {
  readonly etag: string
  readonly modified: Date
  /** Somebody holds the lock that it is. */
  readonly isLeased: boolean
}

export interface AnonymousAnswer {
  /** Of HTTP; 404 for a blob that is not there if the container's can be read. */
  readonly status: number
  readonly code: string | undefined
  /** What time the service has, in ms since the epoch; NaN if it does not say. */
  readonly date: number
}

/** Makes the client, without a request: the first one that is meant tells what is wrong. */
export async function connect(given: Given): Promise<Connection> {
  const containerName = textOf(given, 'container')
  if (containerName === undefined) throw new UsageError('--container is missing')
  if (!isContainerName(containerName)) {
    throw new UsageError(
      '--container: a name has 3 to 63 lower-case letters and digits, with single hyphens between them',
    )
  }
  const blobPrefix = textOf(given, 'blob-prefix') ?? ''
  const options: AzureConnectOptions = {
    containerName,
    prefix: blobPrefix,
    timeoutMs: requestMs,
    ...(await access(given)),
  }
  // The SDK takes a moment to load: --help does without.
  const { connectContainer } = await import('../../stores/azure/connect.js')
  const { container, store, readAnonymously } = await connectContainer(options)
    .then(({ container, cacheOptions, readAnonymously }) => ({
      container,
      store: new AzureBlobCertCache(container, cacheOptions),
      readAnonymously: readAnonymously as NonNullable<typeof readAnonymously>,
    }))
    .catch((thrown: unknown) => {
      throw toCommandError(thrown, options)
    })
  const blob = (key: string) => container.getBlobClient(blobPrefix + key)
  return {
    store,
    containerName,
    async readAnonymously(key) {
      const ask = async (signal: AbortSignal): Promise<AnonymousAnswer> => {
        const read = readAnonymously(blobPrefix + key, signal)
        return read.then(() => ({ status: 200, code: undefined, date: Number.NaN }), answerOf)
      }
      return (await bounded(ask, 'read without credentials', containerName)) as AnonymousAnswer
    },
    async look(key) {
      const ask = (abortSignal: AbortSignal) => blob(key).getProperties({ abortSignal })
      const properties = await bounded(ask, `look at ${key}`, containerName)
      if (!properties) return undefined
      const { etag = '', lastModified = new Date(), leaseState } = properties
      return { etag, modified: lastModified, isLeased: leaseState === 'leased' }
    },
    async deleteUnchanged(key, { etag }) {
      const conditions = { ifMatch: etag }
      const ask = (abortSignal: AbortSignal) => blob(key).delete({ abortSignal, conditions })
      await bounded(ask, `delete ${key}`, containerName)
    },
  }
}

/** @throws what was thrown, if that is no answer */
function answerOf(thrown: unknown): AnonymousAnswer {
  const { statusCode, details, response } = toError(thrown) as Error & {
    readonly statusCode?: number
    readonly details?: { readonly errorCode?: string }
    readonly response?: { readonly headers: { get(name: string): string | undefined } }
  }
  if (statusCode === undefined) throw thrown
  const date = Date.parse(response?.headers.get('date') ?? '')
  return { status: statusCode, code: details?.errorCode, date }
}

async function bounded<T>(ask: (signal: AbortSignal) => Promise<T>, what: string, container: string) {
  const error = () =>
    new StoreError(
      'ERR_STORE_TIMEOUT',
      `Azure Blob Storage took too long to ${what}. ${advice.ERR_STORE_TIMEOUT}`,
    )
  try {
    return await withDeadline(ask, { ms: requestMs, clock: systemClock, error })
  } catch (thrown) {
    // An answer without a body has only its status.
    if ((thrown as { statusCode?: unknown }).statusCode === 404) return undefined
    const failure = thrown instanceof StoreError ? thrown : toStoreError(thrown, what, container)
    if (failure === 'BlobNotFound') return undefined
    throw failure
  }
}

function toCommandError(thrown: unknown, { credential }: AzureConnectOptions): unknown {
  if (thrown instanceof StoreError) {
    return credential ? new CommandError(`${messageOf(thrown)}${passedOver()}`) : thrown
  }
  const [, wrong] = /^AzureBlobCertCache(?:\.connect)?: (.*)/.exec(toError(thrown).message) ?? []
  if (wrong === undefined) return thrown
  if (!wrong.startsWith('connectionString ')) return new UsageError(wrong)
  return new UsageError('AZURE_STORAGE_CONNECTION_STRING is not the connection string of a storage account')
}

/** Where credentials are missing, a word on those that are there and not used. */
const passedOver = () =>
  process.env.AZURE_STORAGE_CONNECTION_STRING
    ? ' AZURE_STORAGE_CONNECTION_STRING is set, and is not used with --account or --endpoint.'
    : ''

/** How to be let in: flags before the environment, a key before a SAS before an identity. */
async function access(given: Given): Promise<Partial<AzureConnectOptions>> {
  const {
    AZURE_STORAGE_CONNECTION_STRING: connectionString,
    AZURE_STORAGE_ACCOUNT,
    AZURE_STORAGE_KEY: accountKey,
    AZURE_STORAGE_SAS_TOKEN: sasToken,
  } = process.env
  const endpoint = serviceUrl(textOf(given, 'endpoint'))
  const flag = textOf(given, 'account')
  if (connectionString && flag === undefined && endpoint === undefined) return { connectionString }
  const accountName = flag ?? (AZURE_STORAGE_ACCOUNT || undefined)
  if (accountName === undefined && (endpoint === undefined || accountKey)) {
    throw new UsageError(
      `no storage account: give --account, or set AZURE_STORAGE_ACCOUNT or AZURE_STORAGE_CONNECTION_STRING.${passedOver()}`,
    )
  }
  if (accountName !== undefined && !/^[a-z0-9]{3,24}$/.test(accountName)) {
    throw new UsageError('a storage account’s name has 3 to 24 lower-case letters and digits')
  }
  const where = { ...(accountName && { accountName }), ...(endpoint && { endpoint: endpoint.href }) }
  if (accountKey) return { ...where, accountKey }
  if (sasToken) return { endpoint: withSas(endpoint, accountName, sasToken) }
  return { ...where, credential: await defaultCredential() }
}

function serviceUrl(endpoint: string | undefined): URL | undefined {
  if (endpoint === undefined) return undefined
  if (!URL.canParse(endpoint) || !/^https?:$/.test(new URL(endpoint).protocol)) {
    throw new UsageError('--endpoint takes an http or https URL')
  }
  const url = new URL(endpoint)
  // Others on the machine can read the arguments of a process.
  if (url.search || url.username || url.password) {
    throw new UsageError('--endpoint takes no credentials: put a SAS into AZURE_STORAGE_SAS_TOKEN')
  }
  return url
}

function withSas(endpoint: URL | undefined, accountName: string | undefined, sasToken: string): string {
  const url = new URL(endpoint ?? `https://${accountName}.blob.core.windows.net`)
  url.search = sasToken.replace(/^\?/, '')
  if (!url.searchParams.has('sig')) throw new UsageError('AZURE_STORAGE_SAS_TOKEN has no signature (sig)')
  return url.href
}

async function defaultCredential(): Promise<TokenCredential> {
  // Not a literal: it is an optional peer, which the type checker need not find.
  const name: string = '@azure/identity'
  try {
    const { DefaultAzureCredential } = await import(name)
    return new DefaultAzureCredential()
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code !== 'ERR_MODULE_NOT_FOUND') {
      throw new CommandError(`@azure/identity could not be loaded: ${toError(thrown).message}`)
    }
    throw new CommandError(
      `no credentials: set AZURE_STORAGE_KEY, AZURE_STORAGE_SAS_TOKEN or AZURE_STORAGE_CONNECTION_STRING, or install @azure/identity to use this machine’s or your own identity.${passedOver()}`,
    )
  }
}

export function directoryUrl(given: Given): string {
  const url = textOf(given, 'directory') ?? letsEncryptProduction
  if (!URL.canParse(url) || new URL(url).protocol !== 'https:') {
    throw new UsageError('--directory takes an https URL')
  }
  return url
}

/**
 * What the keys of the chosen CA begin with, as the manager has it; `undefined` if none was chosen.
 * @throws {UsageError} for a prefix that no key can have
 */
export function chosenPrefix(given: Given): string | undefined {
  const prefix = textOf(given, 'key-prefix')
  layoutOf(given, 'ecdsa-p256')
  if (prefix !== undefined) return prefix
  return textOf(given, 'directory') === undefined ? undefined : defaultPrefix(directoryUrl(given))
}

/** @throws {UsageError} for a prefix that no key can have */
export function layoutOf(given: Given, keyType: KeyType): StorageLayout {
  try {
    return storageLayout(directoryUrl(given), keyType, textOf(given, 'key-prefix'))
  } catch (thrown) {
    if (thrown instanceof UsageError) throw thrown
    throw new UsageError(`--key-prefix: ${toError(thrown).message}`)
  }
}
