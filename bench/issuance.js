// Measures the time from the first handshake for a host to its certificate, with the test CA in another process.
import { fork } from 'node:child_process'
import { subscribe } from 'node:diagnostics_channel'
import { once } from 'node:events'
import https from 'node:https'
import { connect } from 'node:tls'
import { fileURLToPath } from 'node:url'
import { CertManager } from 'acme-cert-cache'
import { median } from './measure.js'

const orders = 15

/** The time during which at least one request to the CA was pending, in ms. */
let caMs = 0
let pendingRequests = 0
let pendingSince = 0
subscribe('http.client.request.start', () => {
  if (pendingRequests++ === 0) pendingSince = performance.now()
})
subscribe('http.client.response.finish', () => {
  if (--pendingRequests === 0) caMs += performance.now() - pendingSince
})

export async function benchIssuance() {
  /** @type {Map<string, Uint8Array>} */
  const values = new Map()
  const store = {
    get: async (/** @type {string} */ key) => values.get(key),
    put: async (/** @type {string} */ key, /** @type {Uint8Array} */ data) => void values.set(key, data),
    delete: async (/** @type {string} */ key) => void values.delete(key),
  }
  // The CA needs the server's port, and the manager needs the CA's URL, so the server listens before either is created.
  const server = https.createServer({
    SNICallback(name, callback) {
      options.SNICallback.call(this, name, callback)
    },
    ALPNCallback(offer) {
      return options.ALPNCallback.call(this, offer)
    },
  })
  server.on('tlsClientError', () => undefined)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address())

  const child = fork(fileURLToPath(new URL('ca.js', import.meta.url)))
  child.send({ tlsPort: port })
  const [acme] = await once(child, 'message')
  const manager = new CertManager({
    cache: store,
    hostPolicy: () => true,
    acme: { termsOfServiceAgreed: true, ...acme },
  })
  const options = manager.tlsOptions()

  const measureOrder = async (/** @type {string} */ host) => {
    caMs = 0
    const startedAt = performance.now()
    const socket = connect({ host: '127.0.0.1', port, servername: host, rejectUnauthorized: false })
    await once(socket, 'secureConnect')
    const totalMs = performance.now() - startedAt
    socket.destroy()
    return { totalMs, ownMs: totalMs - caMs }
  }
  const first = await measureOrder('first.example.com')
  const laterOrders = []
  for (let i = 0; i < orders; i++) laterOrders.push(await measureOrder(`h${i}.example.com`))
  child.disconnect()
  server.close()
  await manager.close()

  const totalMs = median(laterOrders.map((order) => order.totalMs))
  const ownMs = median(laterOrders.map((order) => order.ownMs))
  console.log('From the first handshake of a host to its certificate, test CA in another process')
  console.log(
    `  the process's first order (loads acme-client, makes the account): ${first.totalMs.toFixed(0)} ms, CA requests taken off ${first.ownMs.toFixed(0)} ms`,
  )
  console.log(
    `  later orders, median of ${orders}: ${totalMs.toFixed(0)} ms, CA requests taken off ${ownMs.toFixed(0)} ms (at most 150)`,
  )
}
