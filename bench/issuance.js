// From the first handshake for a host to its certificate, with the test CA in another process.
import { fork } from 'node:child_process'
import { subscribe } from 'node:diagnostics_channel'
import { once } from 'node:events'
import https from 'node:https'
import { connect } from 'node:tls'
import { fileURLToPath } from 'node:url'
import { CertManager } from 'acme-cert-cache'
import { median } from './measure.js'

const orders = 15

/** Milliseconds during which a request to the CA was under way. */
let waited = 0
let pending = 0
let since = 0
subscribe('http.client.request.start', () => {
  if (pending++ === 0) since = performance.now()
})
subscribe('http.client.response.finish', () => {
  if (--pending === 0) waited += performance.now() - since
})

export async function benchIssuance() {
  /** @type {Map<string, Uint8Array>} */
  const values = new Map()
  const store = {
    get: async (/** @type {string} */ key) => values.get(key),
    put: async (/** @type {string} */ key, /** @type {Uint8Array} */ data) => void values.set(key, data),
    delete: async (/** @type {string} */ key) => void values.delete(key),
  }
  // The server listens first, for the CA has to know its port, and the manager has to know the CA.
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

  const order = async (/** @type {string} */ host) => {
    waited = 0
    const started = performance.now()
    const socket = connect({ host: '127.0.0.1', port, servername: host, rejectUnauthorized: false })
    await once(socket, 'secureConnect')
    const total = performance.now() - started
    socket.destroy()
    return { total, own: total - waited }
  }
  const first = await order('first.example.com')
  const later = []
  for (let i = 0; i < orders; i++) later.push(await order(`h${i}.example.com`))
  child.disconnect()
  server.close()
  await manager.close()

  const total = median(later.map((result) => result.total))
  const own = median(later.map((result) => result.own))
  console.log('From the first handshake of a host to its certificate, test CA in another process')
  console.log(
    `  the process's first order (loads acme-client, makes the account): ${first.total.toFixed(0)} ms, CA requests taken off ${first.own.toFixed(0)} ms`,
  )
  console.log(
    `  later orders, median of ${orders}: ${total.toFixed(0)} ms, CA requests taken off ${own.toFixed(0)} ms (at most 150)`,
  )
}
