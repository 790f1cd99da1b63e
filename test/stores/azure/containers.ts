import * as support from '../../support/azure.js'

/** Healthy requests may be slow on a busy machine. */
const patient = { timeoutMs: 60_000 }

/** A new, empty container, and how to connect to it. */
export async function freshContainer() {
  const { client, connect } = await support.freshContainer()
  return { client, connect: { ...connect, ...patient } }
}

/** A new container behind a proxy that closes when the test ends. */
export async function tappedContainer() {
  const tapped = await support.tappedContainer()
  return { ...tapped, connect: { ...tapped.connect, ...patient } }
}
