import { ContainerClient, StorageSharedKeyCredential } from '@azure/storage-blob'
import { expect } from 'vitest'
import { AzureBlobCertCache } from '../../src/index.js'
import { selfSignedCertificate } from '../../src/testing/index.js'
import { azurite, freshContainer } from '../support/azure.js'
import { localNames } from '../support/names.js'
import { type Fault, openTap } from '../support/tap.js'

/** A fault of a store or of the connection to it. */
export interface StorageFault {
  readonly name: string
  /** The fault that the proxy in front of the store injects into each request. */
  readonly fault?: Fault
  /** The fault of the connection, if the proxy injects none. */
  readonly way?: 'refused' | 'unknown name' | 'no TLS' | 'expired SAS'
  readonly code: string | RegExp
}

const answered = (status: number, code: string, expected: string, retryAfter?: number): StorageFault => ({
  name: `${status} ${code}${retryAfter === undefined ? '' : `, Retry-After: ${retryAfter}`}`,
  fault: { status, code, ...(retryAfter !== undefined && { retryAfter }) },
  code: expected,
})

export const storageFaults: readonly StorageFault[] = [
  { name: 'refused', way: 'refused', code: 'ERR_STORE_UNREACHABLE' },
  { name: 'DNS failure', way: 'unknown name', code: 'ERR_STORE_UNREACHABLE' },
  { name: 'TLS error', way: 'no TLS', code: 'ERR_STORE_UNREACHABLE' },
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
  // Azure's response to a wrong clock: https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key
  { ...answered(403, 'AuthenticationFailed', 'ERR_STORE_CREDENTIALS'), name: 'clock skew' },
  { name: 'expired SAS', way: 'expired SAS', code: 'ERR_STORE_CREDENTIALS' },
]

const warmHost = 'fleet.warm.invalid'
/** Host names, one for each client that has no connection yet. */
const coldHosts = Array.from({ length: 20 }, (_, index) => `fleet.cold${index}.invalid`)
const certificate = await selfSignedCertificate([warmHost, ...coldHosts])
/** Too long to elapse in real time, since tests control the time of the client. */
const timeoutMs = 300_000

export type FaultyContainer = Awaited<ReturnType<typeof faultyContainer>>

/** Creates an empty container behind a proxy that can inject the fault. */
export async function faultyContainer({ fault, way }: StorageFault) {
  const { client, connect } = await freshContainer()
  const { accountName, accountKey, containerName } = connect
  const names = localNames()
  const tap = await openTap(azurite().endpoint, way === 'no TLS' ? certificate : undefined)
  const unusedHosts = [...coldHosts]
  let broken = false
  tap.fault(() => (broken ? fault : undefined))

  /** Sets the expiry of the SAS, which is in a stored access policy: https://learn.microsoft.com/rest/api/storageservices/define-stored-access-policy */
  const sasEnd = (expiresOn: Date) =>
    client.setAccessPolicy(undefined, [
      { id: 'fleet', accessPolicy: { startsOn: new Date(0), expiresOn, permissions: 'racwdl' } },
    ])
  const soon = () => new Date(Date.now() + 600_000)
  if (way === 'expired SAS') await sasEnd(soon())

  /** Clients share the connections to a host, so each has its own host name, which begins with the account's name. */
  async function clientBy(host: string) {
    names.know(host)
    const url = `${way === 'no TLS' ? 'https' : 'http'}://${host}:${tap.port}/${containerName}`
    const options = { retryOptions: { maxTries: 1 }, tlsOptions: { ca: certificate.certificate } }
    if (way !== 'expired SAS')
      return new ContainerClient(url, new StorageSharedKeyCredential(accountName, accountKey), options)
    const { search } = new URL(await client.generateSasUrl({ identifier: 'fleet' }))
    return new ContainerClient(url + search, undefined, options)
  }

  const cache = async (host: string, options: { timeoutMs?: number } = { timeoutMs }) =>
    new AzureBlobCertCache(await clientBy(host), options)
  return {
    tap,
    /** Creates a client that has connections to the store after its first use. */
    warm: () => cache(warmHost),
    /** Creates a client that shares no connections with another client. */
    cold: () => cache(unusedHosts.pop() ?? expect.unreachable('too few hosts')),
    /** Creates a client with the default time-outs. */
    withDefaults: () => cache(warmHost, {}),
    async break() {
      broken = true
      if (way === 'refused') await tap.close()
      if (way === 'unknown name') names.forget()
      if (way === 'no TLS') tap.greet('HTTP/1.1 400 Bad Request\r\n\r\n')
      if (way === 'expired SAS') await sasEnd(new Date(Date.now() - 1))
      else if (way) tap.disconnect()
    },
    async mend() {
      broken = false
      if (way === 'refused') await tap.open()
      if (way === 'unknown name') for (const host of [warmHost, ...coldHosts]) names.know(host)
      if (way === 'no TLS') tap.greet(undefined)
      if (way === 'expired SAS') await sasEnd(soon())
    },
    async close() {
      await tap.close()
      names.close()
    },
  }
}

/** Returns one of {@link storageFaults}. */
export const faultNamed = (name: string): StorageFault =>
  storageFaults.find((fault) => fault.name === name) ?? expect.unreachable(name)
