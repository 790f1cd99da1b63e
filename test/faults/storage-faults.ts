import { ContainerSASPermissions } from '@azure/storage-blob'
import { AzureBlobCertCache } from '../../src/index.js'
import { azurite, freshContainer } from '../support/azure.js'
import { type Fault, openTap } from '../support/tap.js'

/** What can be wrong with a store: what the proxy before it does, or another way to it. */
export interface StorageFault {
  readonly name: string
  readonly fault?: Fault
  /** In place of the store's endpoint, or of its credentials. */
  readonly endpoint?: (tapped: string) => string
  readonly expired?: true
  readonly code: string | RegExp
}

const answered = (status: number, code: string, expected: string, retryAfter?: number): StorageFault => ({
  name: `${status} ${code}${retryAfter === undefined ? '' : `, Retry-After: ${retryAfter}`}`,
  fault: { status, code, ...(retryAfter !== undefined && { retryAfter }) },
  code: expected,
})

export const storageFaults: readonly StorageFault[] = [
  { name: 'refused', endpoint: () => 'http://127.0.0.1:1/fleet', code: 'ERR_STORE_UNREACHABLE' },
  { name: 'DNS failure', endpoint: () => 'http://nowhere.invalid/fleet', code: 'ERR_STORE_UNREACHABLE' },
  {
    name: 'TLS error',
    endpoint: (tapped) => tapped.replace('http:', 'https:'),
    code: 'ERR_STORE_UNREACHABLE',
  },
  { name: 'accepts and never answers', fault: 'hang', code: 'ERR_STORE_TIMEOUT' },
  { name: 'stalls in the body', fault: 'stall in the body', code: 'ERR_STORE_TIMEOUT' },
  { name: 'reset', fault: 'reset', code: 'ERR_STORE_UNREACHABLE' },
  { name: 'reset in the body', fault: 'reset in the body', code: 'ERR_STORE_UNREACHABLE' },
  { name: 'wrong length', fault: 'end too early', code: /UNREACHABLE|FAILED/ },
  answered(403, 'AuthorizationPermissionMismatch', 'ERR_STORE_PERMISSION'),
  answered(404, 'ContainerNotFound', 'ERR_STORE_CONTAINER'),
  answered(409, 'ContainerBeingDeleted', 'ERR_STORE_FAILED'),
  answered(412, 'ConditionNotMet', 'ERR_STORE_FAILED'),
  answered(429, 'TooManyRequests', 'ERR_STORE_FAILED'),
  answered(500, 'InternalError', 'ERR_STORE_FAILED'),
  answered(503, 'ServerBusy', 'ERR_STORE_FAILED'),
  answered(503, 'ServerBusy', 'ERR_STORE_FAILED', 30),
  // What a clock that is wrong leads to: https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key
  { ...answered(403, 'AuthenticationFailed', 'ERR_STORE_CREDENTIALS'), name: 'clock skew' },
  { name: 'expired SAS', expired: true, code: 'ERR_STORE_CREDENTIALS' },
]

/** Short, so that what hangs is over soon. */
export const timeoutMs = 600

/** An empty container behind a proxy, as it is and with a fault. */
export async function faultyContainer({ fault, endpoint, expired }: StorageFault) {
  const { client, connect } = await freshContainer()
  const { containerName } = connect
  const tap = await openTap(azurite().endpoint)
  const open = (at: string) => {
    const service = { ...connect, endpoint: at, timeoutMs, allowAnonymousRead: true }
    return AzureBlobCertCache.connect(service)
  }
  let broken = false
  tap.fault(() => (broken ? fault : undefined))
  /** A client that has had no connection to the broken store yet. */
  const cold = async () => {
    broken = false
    const { ContainerClient, StorageSharedKeyCredential } = await import('@azure/storage-blob')
    const { accountName, accountKey } = connect
    const options = { retryOptions: { maxTries: 1 } }
    let container = new ContainerClient(
      `${endpoint?.(tap.endpoint) ?? tap.endpoint}/${containerName}`,
      new StorageSharedKeyCredential(accountName, accountKey),
      options,
    )
    if (expired) {
      const url = await client.generateSasUrl({
        permissions: ContainerSASPermissions.parse('racwdl'),
        startsOn: new Date(Date.now() - 7_200_000),
        expiresOn: new Date(Date.now() - 3_600_000),
      })
      const tapped = `${tap.endpoint}/${containerName}${new URL(url).search}`
      container = new ContainerClient(tapped, undefined, options)
    }
    return new AzureBlobCertCache(container, { timeoutMs })
  }
  return {
    tap,
    healthy: () => open(tap.endpoint),
    cold,
    /** Whether the fault shows on connections that there are. */
    canBreak: fault !== undefined,
    break() {
      broken = true
    },
    mend() {
      broken = false
    },
  }
}
