import * as support from '../../support/azure.js'

/** Healthy requests may be slow on a busy machine. */
const patient = { timeoutMs: 60_000 }

/** Creates an empty container, and returns the options to connect to it. */
export async function freshContainer() {
  const { client, connect } = await support.freshContainer()
  return { client, connect: { ...connect, ...patient } }
}

/** Creates a container behind a proxy that closes with the test. */
export async function tappedContainer() {
  const tapped = await support.tappedContainer()
  return { ...tapped, connect: { ...tapped.connect, ...patient } }
}
