import { createRunner } from '../../cache/store-operation.js'
import { AzureBlobCertCache } from '../../stores/azure/azure-blob-cert-cache.js'
import { connectContainer, readAnonymously } from '../../stores/azure/connect.js'
import { timeoutMessage, toStoreError } from '../../stores/azure/errors.js'
import type { AzureConnectOptions } from '../../stores/azure/options.js'
import { StoreError, toError } from '../../util/errors.js'
import type { ParsedArguments } from '../console/arguments.js'
import { formatError } from '../console/error-message.js'
import { CommandError, UsageError } from '../console/errors.js'
import { connectionStringHint, connectOptions } from '../flags/connection.js'

/** Longer than the store's default: no handshake waits for the command. */
const requestMs = 15_000

/** A container as a store, with the operations on blobs that a store does not have. */
export interface Connection {
  readonly store: AzureBlobCertCache
  readonly containerName: string
  /** Reads a blob without credentials. Resolves with the response, an error response included. */
  readAnonymously(key: string): Promise<AnonymousResponse>
  /** Reads a blob's properties. Resolves with `undefined` if the blob does not exist. */
  getBlobState(key: string): Promise<BlobState | undefined>
  /** Deletes a blob. Rejects with a StoreError of status 412 if the blob was written after `state` was read. */
  deleteIfUnchanged(key: string, state: BlobState): Promise<void>
}

export interface BlobState {
  readonly etag: string
  readonly modified: Date
  readonly isLeased: boolean
}

export interface AnonymousResponse {
  /** The HTTP status. */
  readonly status: number
  /** The service's error code, such as `BlobNotFound`. */
  readonly code: string | undefined
  /** The `Date` header in milliseconds since the epoch; NaN without one. */
  readonly date: number
}

/**
 * Creates the client from the flags and the environment. It sends no request to the container, so a wrong account or
 * container name makes the first operation fail.
 */
export async function connect(args: ParsedArguments): Promise<Connection> {
  const options = { ...(await connectOptions(args)), timeoutMs: requestMs }
  const { containerName, prefix = '', timeoutMs } = options
  const { container, store } = await connectContainer(options)
    .then((container) => ({ container, store: new AzureBlobCertCache(container, { prefix, timeoutMs }) }))
    .catch((thrown: unknown) => {
      throw translateConnectError(thrown, options)
    })
  /** Resolves with `undefined` if the blob does not exist. */
  const run = createRunner<undefined>({
    timeoutMs: requestMs,
    timeoutMessage: (description) => timeoutMessage(requestMs, description, containerName),
    toStoreError(thrown, description) {
      // The response to a HEAD request has no body, and so no error code.
      if ((thrown as { statusCode?: unknown }).statusCode === 404) return undefined
      return toStoreError(thrown, description, containerName)
    },
  })
  const blobClient = (key: string) => container.getBlobClient(prefix + key)
  return {
    store,
    containerName,
    async readAnonymously(key) {
      const send = async (signal: AbortSignal): Promise<AnonymousResponse> => {
        const read = readAnonymously(container.url, prefix + key, signal)
        return read.then(() => ({ status: 200, code: undefined, date: Number.NaN }), toAnonymousResponse)
      }
      return (await run('read without credentials', undefined, send)) as AnonymousResponse
    },
    async getBlobState(key) {
      const send = (abortSignal: AbortSignal) => blobClient(key).getProperties({ abortSignal })
      const properties = await run(`read the properties of "${key}"`, undefined, send)
      if (!properties) return undefined
      const { etag = '', lastModified = new Date(), leaseState } = properties
      return { etag, modified: lastModified, isLeased: leaseState === 'leased' }
    },
    async deleteIfUnchanged(key, { etag }) {
      const conditions = { ifMatch: etag }
      const send = (abortSignal: AbortSignal) => blobClient(key).delete({ abortSignal, conditions })
      await run(`delete "${key}"`, undefined, send)
    },
  }
}

/** Converts an error response of the SDK; rethrows other errors. */
function toAnonymousResponse(thrown: unknown): AnonymousResponse {
  const { statusCode, details, response } = toError(thrown) as Error & {
    readonly statusCode?: number
    readonly details?: { readonly errorCode?: string }
    readonly response?: { readonly headers: { get(name: string): string | undefined } }
  }
  if (statusCode === undefined) throw thrown
  const date = Date.parse(response?.headers.get('date') ?? '')
  return { status: statusCode, code: details?.errorCode, date }
}

/** Rewrites errors about the library's options in terms of flags and environment variables. */
function translateConnectError(thrown: unknown, { credential }: AzureConnectOptions): unknown {
  if (thrown instanceof StoreError) {
    return credential ? new CommandError(`${formatError(thrown)}${connectionStringHint()}`) : thrown
  }
  const [, reason] = /^AzureBlobCertCache(?:\.connect)?: (.*)/.exec(toError(thrown).message) ?? []
  if (reason === undefined) return thrown
  if (!reason.startsWith('connectionString ')) return new UsageError(reason)
  return new UsageError('AZURE_STORAGE_CONNECTION_STRING is not the connection string of a storage account')
}
