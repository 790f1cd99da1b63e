// A machine of a fleet in its own process: a server with shared session tickets, and one without callbacks. Reports its
// ticket key and CPU time for each message.
import https from 'node:https'
import { CertManager, DirCertCache } from 'acme-cert-cache'

/**
 * @typedef {object} ServerSettings
 * @property {string} folder
 * @property {string} host
 * @property {{ key: string, cert: string }} certificate Of the host
 */
/** @typedef {{ ticketKey: string, cpuMicroseconds: number, ports: { manager: number, static: number } }} ServerReport */

process.once('message', async (/** @type {ServerSettings} */ { folder, host, certificate }) => {
  const manager = new CertManager({
    cache: new DirCertCache(folder),
    hostPolicy: [host],
    acme: { termsOfServiceAgreed: true, directoryUrl: 'https://127.0.0.1:1/directory', keyPrefix: '' },
    sessionTickets: true,
  })
  const shared = https.createServer(manager.tlsOptions())
  manager.attach(shared)
  const ports = { manager: await listen(shared), static: await listen(https.createServer(certificate)) }
  const report = () => {
    const { user, system } = process.cpuUsage()
    const ticketKey = shared.getTicketKeys().toString('hex')
    process.send?.({ ticketKey, cpuMicroseconds: user + system, ports })
  }
  process.on('message', report)
  report()
})
process.on('disconnect', () => process.exit())

function listen(/** @type {https.Server} */ server) {
  // The client closes each connection right after the handshake.
  server.on('tlsClientError', () => undefined)
  // Data tells the client of a TLS 1.3 connection that it has received all tickets.
  server.on('secureConnection', (socket) => {
    if (socket.getProtocol() === 'TLSv1.3') socket.write('x')
  })
  return new Promise((resolve) =>
    server.listen(0, '127.0.0.1', () =>
      resolve(/** @type {import('node:net').AddressInfo} */ (server.address()).port),
    ),
  )
}
