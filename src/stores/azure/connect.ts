import {
  AnonymousCredential,
  BlobServiceClient,
  ContainerClient,
  type StoragePipelineOptions,
  StorageSharedKeyCredential,
} from '@azure/storage-blob'
import { systemClock } from '../../util/clock.js'
import { withDeadline } from '../../util/deadline.js'
import { StoreError, toError } from '../../util/errors.js'
import { firstLine, tokenAdvice } from './errors.js'
import {
  type AzureBlobCertCacheOptions,
  type AzureConnectOptions,
  type CheckedConnectOptions,
  checkConnectOptions,
  type TokenCredential,
  wrong,
} from './options.js'

/** A managed identity takes 10 to 25 s for its first token: fetched here, at start, not in a handshake. */
const firstTokenMs = 60_000
const storageScope = 'https://storage.azure.com/.default'

/** Our own are few and short, as a handshake waits: see azure-retry.ts. The SDK's four tries take 16 s. */
const pipeline: StoragePipelineOptions = { retryOptions: { maxTries: 1 } }

interface ConnectedContainer {
  readonly container: ContainerClient
  readonly cacheOptions: AzureBlobCertCacheOptions
  readonly createContainer: ((abortSignal: AbortSignal) => Promise<unknown>) | undefined
  readonly readAnonymously: ((blob: string, abortSignal: AbortSignal) => Promise<void>) | undefined
}

/** Makes the client that `options` describe, without a request but for the first token. The SDK's only importer. */
export async function connectContainer(options: AzureConnectOptions): Promise<ConnectedContainer> {
  const checked = checkConnectOptions(options)
  if (options.credential) await fetchFirstToken(options.credential)
  const container = named(makeClient(checked, options.credential), checked.containerName)
  const createContainer = options.createContainer
    ? (abortSignal: AbortSignal) => container.createIfNotExists({ abortSignal })
    : undefined
  const readAnonymously = options.allowAnonymousRead
    ? undefined
    : async (blob: string, abortSignal: AbortSignal) => {
        const url = new URL(container.url)
        url.search = ''
        await new ContainerClient(url.href, new AnonymousCredential(), pipeline)
          .getBlobClient(blob)
          .download(0, undefined, { abortSignal })
      }
  const cacheOptions: AzureBlobCertCacheOptions = {}
  if (options.prefix !== undefined) cacheOptions.prefix = options.prefix
  if (options.timeoutMs !== undefined) cacheOptions.timeoutMs = options.timeoutMs
  return { container, cacheOptions, createContainer, readAnonymously }
}

function makeClient(
  { containerName, accountName, accountKey, connectionString, containerUrl }: CheckedConnectOptions,
  credential: TokenCredential | undefined,
): ContainerClient {
  if (connectionString !== undefined) return fromConnectionString(connectionString, containerName)
  if (accountKey !== undefined) {
    const sharedKey = new StorageSharedKeyCredential(accountName as string, accountKey)
    return new ContainerClient(containerUrl, sharedKey, pipeline)
  }
  return new ContainerClient(containerUrl, credential ?? new AnonymousCredential(), pipeline)
}

/** For messages: the SDK reads it from the URL, and finds another or none where the path is not as it expects. */
const named = (container: ContainerClient, containerName: string): ContainerClient =>
  Object.defineProperty(container, 'containerName', { value: containerName })

function fromConnectionString(connectionString: string, containerName: string): ContainerClient {
  try {
    const service = BlobServiceClient.fromConnectionString(connectionString, pipeline)
    return service.getContainerClient(containerName)
  } catch {
    // What the SDK says of it could quote it.
    throw wrong('connectionString', 'must be a connection string as the portal shows it')
  }
}

async function fetchFirstToken(credential: TokenCredential): Promise<void> {
  const timeout = () =>
    new StoreError(
      'ERR_STORE_TIMEOUT',
      `the credential gave no token within ${firstTokenMs / 1_000} s. ${tokenAdvice}`,
    )
  try {
    await withDeadline((abortSignal) => credential.getToken(storageScope, { abortSignal }), {
      ms: firstTokenMs,
      clock: systemClock,
      error: timeout,
    })
  } catch (thrown) {
    if (thrown instanceof StoreError) throw thrown
    const { name, message } = toError(thrown)
    throw new StoreError(
      'ERR_STORE_CREDENTIALS',
      `the credential gave no token (${name}: ${firstLine(message)}). ${tokenAdvice}`,
    )
  }
}
