// A server whose manager is closed while the CA hangs. It ends by itself, or not at all: it never calls process.exit()
// once it is told to close. Started by close.long.ts.
import { subscribe } from 'node:diagnostics_channel'
import { writeSync } from 'node:fs'
import https from 'node:https'
import { CertManager } from 'acme-cert-cache'
import { openStore } from '../fleet/open-store.js'

/** @typedef {{ store: import('../fleet/open-store.js').StoreSettings, acme: object }} MachineSettings */
/** @typedef {{ start?: MachineSettings, order?: true, close?: true }} Message */

const host = 'a.example'
const tell = (/** @type {object} */ message) => process.connected && process.send?.(message)
/** Ends a machine whose test has ended early. */
const stop = () => process.exit(1)
let close = async () => {}
let order = () => {}

process.on('disconnect', stop)
process.on('message', (/** @type {Message} */ message) => {
  if (message.start) void start(message.start)
  if (message.order) order()
  if (message.close) void close()
})

// The header of a response has arrived, perhaps without its body.
subscribe('http.client.response.finish', (message) => {
  const { request } = /** @type {{ request: import('node:http').ClientRequest }} */ (message)
  tell({ answered: request.path.split('/')[1] })
})

async function start(/** @type {MachineSettings} */ { store, acme }) {
  const manager = new CertManager({
    cache: await openStore(store),
    hostPolicy: [host],
    acme: { termsOfServiceAgreed: true, keyPrefix: '', ...acme },
  })
  const server = https.createServer(manager.tlsOptions(), (_req, res) => res.end('hello'))
  server.on('tlsClientError', () => undefined)
  server.listen({ host: '127.0.0.1', port: 0 }, () => {
    tell({ listening: /** @type {import('node:net').AddressInfo} */ (server.address()).port })
  })
  /** @type {Promise<string> | undefined} */
  let outcome
  order = () => {
    outcome = manager.getCertificate(host).then(
      () => 'issued',
      ({ code }) => code,
    )
    tell({ ordering: true })
  }
  close = async () => {
    process.off('disconnect', stop)
    server.close()
    server.closeAllConnections()
    const closingAt = performance.now()
    await manager.close()
    const closedAt = performance.now()
    process.on('exit', () => writeSync(1, String(performance.now() - closedAt)))
    process.send?.({ closed: { ms: closedAt - closingAt, outcome: await outcome } }, () =>
      process.disconnect(),
    )
  }
}
