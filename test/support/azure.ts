import { randomUUID } from 'node:crypto'
import { BlobServiceClient, StorageSharedKeyCredential } from '@azure/storage-blob'
import { inject } from 'vitest'

export const azurite = () => inject('azurite')

export function serviceClient() {
  const { accountName, accountKey, endpoint } = azurite()
  return new BlobServiceClient(endpoint, new StorageSharedKeyCredential(accountName, accountKey))
}

/** A new, empty container, and how to connect to it. */
export async function freshContainer() {
  const containerName = `t-${randomUUID()}`
  const client = serviceClient().getContainerClient(containerName)
  await client.create()
  const { accountName, accountKey, endpoint } = azurite()
  return { client, connect: { accountName, accountKey, endpoint, containerName } }
}
