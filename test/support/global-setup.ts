import type { TestProject } from 'vitest/node'
import { startAzurite } from '../../demo/azurite.js'

export interface AzuriteAccount {
  accountName: string
  accountKey: string
  endpoint: string
}

declare module 'vitest' {
  interface ProvidedContext {
    azurite: AzuriteAccount
  }
}

/** Starts one Azurite for the whole run. Each test creates its own container. */
export default async function setup(project: TestProject) {
  const { close, ...account } = await startAzurite()
  project.provide('azurite', account)
  return close
}
