import {
  AnonymousCredential,
  BlobServiceClient,
  ContainerClient,
  type StoragePipelineOptions,
  StorageSharedKeyCredential,
} from '@azure/storage-blob'
import { createRunner } from '../../cache/store-operation.js'
import { StoreError, toError } from '../../util/errors.js'
import { firstLine, tokenAdvice } from './errors.js'
import {
  type AzureBlobCertCacheOptions,
  type AzureConnectOptions,
  type CheckedConnectOptions,
  checkConnectOptions,
  optionError,
  type TokenCredential,
} from './options.js'

/**
 * The time-out of the first token. A managed identity takes 10 to 25 s, so it is fetched at start instead of in a
 * handshake.
 */
const firstTokenTimeoutMs = 60_000
const storageScope = 'https://storage.azure.com/.default'

/** Turns the SDK's retries off: they take 16 s, and a handshake is waiting. See retry.ts. */
const pipelineOptions: StoragePipelineOptions = { retryOptions: { maxTries: 1 } }

/** A client, and the optional steps of `AzureBlobCertCache.connect()`. */
interface ConnectedContainer {
  readonly container: ContainerClient
  readonly cacheOptions: AzureBlobCertCacheOptions
  readonly createContainer: ((abortSignal: AbortSignal) => Promise<unknown>) | undefined
  readonly readAnonymously: ((blob: string, abortSignal: AbortSignal) => Promise<void>) | undefined
}

/**
 * Creates the SDK's client that `options` describe. Makes no request, except for the first token of a `credential`.
 * This is the only module that imports the SDK.
 */
export async function connectContainer(options: AzureConnectOptions): Promise<ConnectedContainer> {
  const checked = checkConnectOptions(options)
  if (options.credential) await fetchFirstToken(options.credential)
  const container = withName(createClient(checked, options.credential), checked.containerName)
  const createContainer = options.createContainer
    ? (abortSignal: AbortSignal) => container.createIfNotExists({ abortSignal })
    : undefined
  const readAnonymously = options.allowAnonymousRead
    ? undefined
    : async (blob: string, abortSignal: AbortSignal) => {
        const url = new URL(container.url)
        url.search = ''
        await new ContainerClient(url.href, new AnonymousCredential(), pipelineOptions)
          .getBlobClient(blob)
          .download(0, undefined, { abortSignal })
      }
  const cacheOptions: AzureBlobCertCacheOptions = {}
  if (options.prefix !== undefined) cacheOptions.prefix = options.prefix
  if (options.timeoutMs !== undefined) cacheOptions.timeoutMs = options.timeoutMs
  return { container, cacheOptions, createContainer, readAnonymously }
}

function createClient(
  { containerName, accountName, accountKey, connectionString, containerUrl }: CheckedConnectOptions,
  credential: TokenCredential | undefined,
): ContainerClient {
  if (connectionString !== undefined) return clientFromConnectionString(connectionString, containerName)
  if (accountKey !== undefined) {
    const sharedKey = new StorageSharedKeyCredential(accountName as string, accountKey)
    return new ContainerClient(containerUrl, sharedKey, pipelineOptions)
  }
  return new ContainerClient(containerUrl, credential ?? new AnonymousCredential(), pipelineOptions)
}

/** Sets the name that messages show. The SDK parses it from the URL, wrongly if the path is not what it expects. */
const withName = (container: ContainerClient, containerName: string): ContainerClient =>
  Object.defineProperty(container, 'containerName', { value: containerName })

function clientFromConnectionString(connectionString: string, containerName: string): ContainerClient {
  try {
    const service = BlobServiceClient.fromConnectionString(connectionString, pipelineOptions)
    return service.getContainerClient(containerName)
  } catch {
    // The SDK's message could quote the account key.
    throw optionError('connectionString', 'must be a connection string as the portal shows it')
  }
}

async function fetchFirstToken(credential: TokenCredential): Promise<void> {
  const run = createRunner({
    timeoutMs: firstTokenTimeoutMs,
    timeoutMessage: () =>
      `the credential gave no token within ${firstTokenTimeoutMs / 1_000} s. ${tokenAdvice}`,
    toStoreError(thrown) {
      const { name, message } = toError(thrown)
      return new StoreError(
        'ERR_STORE_CREDENTIALS',
        `the credential gave no token (${name}: ${firstLine(message)}). ${tokenAdvice}`,
      )
    },
  })
  await run('get a token', undefined, (abortSignal) => credential.getToken(storageScope, { abortSignal }))
}
