import type * as AzureSdk from '@azure/storage-blob'
import { firstLine } from '../../cache/service-errors.js'
import { createRunner } from '../../cache/store-operation.js'
import { endSentence, StoreError, toError } from '../../util/errors.js'
import { importDependency, lazy } from '../../util/lazy.js'
import { tokenAdvice } from './errors.js'
import {
  type AzureConnectOptions,
  type CheckedConnectOptions,
  checkConnectOptions,
  optionError,
  type TokenCredential,
} from './options.js'

/**
 * Turns the SDK's retries off: they take 16 s, and a handshake is waiting. See retry.ts. A new object each time:
 * `fromConnectionString` writes the proxy of the environment into it.
 */
const pipelineOptions = (): AzureSdk.StoragePipelineOptions => ({ retryOptions: { maxTries: 1 } })

/** Loaded on demand: the SDK takes 130 ms and 24 MB. */
const loadSdk = lazy(() => importDependency('@azure/storage-blob', () => import('@azure/storage-blob')))

/**
 * Creates the SDK's client that `options` describe. Makes no request, except for the first token of a `credential`.
 * This is the only module that imports the SDK.
 */
export async function connectContainer(options: AzureConnectOptions): Promise<AzureSdk.ContainerClient> {
  const checked = checkConnectOptions(options)
  if (options.credential) await fetchFirstToken(options.credential)
  // For messages: the SDK parses the name from the URL, and gets it wrong if the path has an unexpected form.
  return Object.defineProperty(createClient(await loadSdk(), checked), 'containerName', {
    value: options.containerName,
  })
}

/** Downloads a blob of the container without credentials. */
export async function readAnonymously(
  containerUrl: string,
  blob: string,
  abortSignal: AbortSignal,
): Promise<void> {
  const { AnonymousCredential, ContainerClient } = await loadSdk()
  const url = new URL(containerUrl)
  url.search = ''
  const container = new ContainerClient(url.href, new AnonymousCredential(), pipelineOptions())
  await container.getBlobClient(blob).download(0, undefined, { abortSignal })
}

function createClient(sdk: typeof AzureSdk, options: CheckedConnectOptions): AzureSdk.ContainerClient {
  const { AnonymousCredential, BlobServiceClient, ContainerClient, StorageSharedKeyCredential } = sdk
  const { containerName, accountName, accountKey, connectionString, containerUrl } = options
  if (connectionString !== undefined) {
    try {
      const service = BlobServiceClient.fromConnectionString(connectionString, pipelineOptions())
      return service.getContainerClient(containerName)
    } catch {
      // The SDK's message could quote the account key.
      throw optionError(
        'connectionString',
        'must be the connection string of a storage account, as the Azure portal shows it',
      )
    }
  }
  const clientCredential =
    accountKey === undefined
      ? (options.credential ?? new AnonymousCredential())
      : new StorageSharedKeyCredential(accountName as string, accountKey)
  return new ContainerClient(containerUrl, clientCredential, pipelineOptions())
}

/** A managed identity takes 10 to 25 s to get its first token, so it is fetched at start instead of in a handshake. */
async function fetchFirstToken(credential: TokenCredential): Promise<void> {
  const run = createRunner({
    timeoutMs: 60_000,
    timeoutMessage: () => tokenMessage('timed out after 60 s'),
    toStoreError(thrown) {
      const { name, message } = toError(thrown)
      return new StoreError('ERR_STORE_CREDENTIALS', tokenMessage(`${name}: ${firstLine(message)}`))
    },
  })
  await run('get a token', undefined, (abortSignal) =>
    credential.getToken('https://storage.azure.com/.default', { abortSignal }),
  )
}

const tokenMessage = (reason: string) =>
  `${endSentence(`cannot get a token from the credential: ${reason}`)} ${tokenAdvice}`
