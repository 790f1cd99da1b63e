// One server of the fleet, in its own process. The code between the two lines is what a user writes.
import http from 'node:http'
import https from 'node:https'
import { AzureBlobCertCache, CertManager } from 'acme-cert-cache'

const send = (/** @type {object} */ message) => process.send?.(message)

process.on('disconnect', () => process.exit())
process.once(
  'message',
  async (/** @type {import('./fleet.js').ServerSettings} */ { azure, hosts, acme, name }) => {
    const app = (/** @type {unknown} */ _req, /** @type {http.ServerResponse} */ res) =>
      res.end(`Hello from ${name}, process ${process.pid}.\n`)

    // ---------------------------------------------------------------------------------------------------------
    const cache = await AzureBlobCertCache.connect(azure)
    const manager = new CertManager({
      cache,
      hostPolicy: hosts,
      acme: { termsOfServiceAgreed: true, ...acme },
      sessionTickets: true,
    })
    const tlsServer = https.createServer(manager.tlsOptions(), app)
    manager.attach(tlsServer)
    const httpServer = http.createServer(manager.httpHandler())
    // ---------------------------------------------------------------------------------------------------------

    manager.on('served', (served) => send({ served }))
    manager.on('refused', (refused) => send({ refused }))
    manager.on('handshakeFailed', ({ host, error }) => send({ failed: `${host}: ${error.message}` }))
    const port = (/** @type {http.Server} */ server) =>
      new Promise((resolve) => {
        server.listen(0, '127.0.0.1', () =>
          resolve(/** @type {import('node:net').AddressInfo} */ (server.address()).port),
        )
      })
    send({ listening: { tlsPort: await port(tlsServer), httpPort: await port(httpServer) } })
  },
)
