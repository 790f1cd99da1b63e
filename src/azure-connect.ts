import {
  AnonymousCredential,
  BlobServiceClient,
  ContainerClient,
  type StoragePipelineOptions,
  StorageSharedKeyCredential,
} from '@azure/storage-blob'
import type { AzureBlobCertCacheOptions } from './azure-blob.js'
import { systemClock, withDeadline } from './clock.js'
import { StoreError, toError } from './errors.js'
import { optional, record, text } from './options.js'

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
  /**
   * Connect to a container that anybody can read, private keys included; otherwise that is an error,
   * `ERR_STORE_PUBLIC`. Default false.
   */
  allowAnonymousRead?: boolean
}

/** A managed identity takes 10 to 25 s for its first token: fetched here, at start, not in a handshake. */
const firstTokenMs = 60_000
const storageScope = 'https://storage.azure.com/.default'

/** Our own are few and short, as a handshake waits: see azure-retry.ts. The SDK's four tries take 16 s. */
const pipeline: StoragePipelineOptions = { retryOptions: { maxTries: 1 } }

/** Makes the client that `options` describe, without a request but for the first token. The SDK's only importer. */
export async function connectContainer(options: AzureConnectOptions) {
  const checked = check(options)
  if (options.credential) await fetchFirstToken(options.credential)
  const container = makeClient(checked, options.credential)
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

function check(options: AzureConnectOptions) {
  const given = record('AzureBlobCertCache.connect: options', options)
  const of = (name: string) => optional(`AzureBlobCertCache.connect: ${name}`, given[name], text)
  const containerName = text('AzureBlobCertCache.connect: containerName', given.containerName)
  const accountName = of('accountName')
  const accountKey = of('accountKey')
  const connectionString = of('connectionString')
  const endpoint = parseEndpoint(of('endpoint'))
  if (given.credential !== undefined && typeof options.credential?.getToken !== 'function') {
    throw new TypeError(
      'AzureBlobCertCache.connect: credential must be a TokenCredential, with a method getToken',
    )
  }
  const sas = endpoint?.searchParams.has('sig') ?? false
  const ways = [accountKey !== undefined, connectionString !== undefined, given.credential !== undefined, sas]
  if (ways.filter(Boolean).length !== 1) {
    throw new TypeError(
      'AzureBlobCertCache.connect: give exactly one of accountKey (with accountName), connectionString, credential, or an endpoint with a SAS',
    )
  }
  if (accountKey !== undefined && accountName === undefined) {
    throw new TypeError('AzureBlobCertCache.connect: accountName is missing: accountKey needs it')
  }
  if (given.credential !== undefined && accountName === undefined && endpoint === undefined) {
    throw new TypeError('AzureBlobCertCache.connect: credential needs accountName or endpoint')
  }
  const serviceUrl =
    endpoint ?? new URL(`https://${accountName ?? 'connection-string'}.blob.core.windows.net`)
  return { containerName, accountName, accountKey, connectionString, serviceUrl }
}

function parseEndpoint(endpoint: string | undefined): URL | undefined {
  if (endpoint === undefined) return undefined
  if (!URL.canParse(endpoint) || !/^https?:$/.test(new URL(endpoint).protocol)) {
    throw new TypeError('AzureBlobCertCache.connect: endpoint must be an http or https URL')
  }
  return new URL(endpoint)
}

function makeClient(
  checked: ReturnType<typeof check>,
  credential: TokenCredential | undefined,
): ContainerClient {
  const { containerName, accountName, accountKey, connectionString, serviceUrl } = checked
  if (connectionString !== undefined) {
    return BlobServiceClient.fromConnectionString(connectionString, pipeline).getContainerClient(
      containerName,
    )
  }
  const url = containerUrl(serviceUrl, containerName)
  if (accountKey !== undefined) {
    return new ContainerClient(
      url,
      new StorageSharedKeyCredential(accountName as string, accountKey),
      pipeline,
    )
  }
  return new ContainerClient(url, credential ?? new AnonymousCredential(), pipeline)
}

/** The container's URL; a SAS of the container has its name in the path already. */
function containerUrl(serviceUrl: URL, containerName: string): string {
  const url = new URL(serviceUrl)
  const path = url.pathname.replace(/\/+$/, '')
  url.pathname = path.endsWith(`/${containerName}`) ? path : `${path}/${containerName}`
  return url.href
}

async function fetchFirstToken(credential: TokenCredential): Promise<void> {
  const timeout = () =>
    new StoreError('ERR_STORE_TIMEOUT', `the credential gave no token within ${firstTokenMs / 1_000} s`)
  try {
    await withDeadline((abortSignal) => credential.getToken(storageScope, { abortSignal }), {
      ms: firstTokenMs,
      clock: systemClock,
      error: timeout,
    })
  } catch (thrown) {
    if (thrown instanceof StoreError) throw thrown
    const { name, message } = toError(thrown)
    throw new StoreError('ERR_STORE_CREDENTIALS', `the credential gave no token: ${name}: ${message}`)
  }
}
