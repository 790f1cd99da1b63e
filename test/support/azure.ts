import { randomUUID } from 'node:crypto'
import { BlobServiceClient, StorageSharedKeyCredential } from '@azure/storage-blob'
import { expect, inject, onTestFinished } from 'vitest'
import type { StoreError } from '../../src/index.js'
import { openTap } from './tap.js'

export const azurite = () => inject('azurite')

export function serviceClient() {
  const { accountName, accountKey, endpoint } = azurite()
  return new BlobServiceClient(endpoint, new StorageSharedKeyCredential(accountName, accountKey))
}

/** Creates an empty container and returns its client and the options to connect to it. */
export async function freshContainer() {
  const containerName = `t-${randomUUID()}`
  const client = serviceClient().getContainerClient(containerName)
  await client.create()
  const { accountName, accountKey, endpoint } = azurite()
  return { client, connect: { accountName, accountKey, endpoint, containerName } }
}

/** Creates an empty container behind a tap that closes with the test. */
export async function tappedContainer() {
  const { client, connect } = await freshContainer()
  const tap = await openTap(azurite().endpoint)
  onTestFinished(tap.close)
  return { client, tap, connect: { ...connect, endpoint: tap.endpoint }, at: `/${connect.containerName}` }
}

/** Returns the error that a promise rejects with. */
export async function failure(promise: Promise<unknown>): Promise<StoreError> {
  const error: unknown = await promise.then(
    () => expect.unreachable('it should have failed'),
    (reason: unknown) => reason,
  )
  expect(error).toBeInstanceOf(Error)
  return error as StoreError
}
