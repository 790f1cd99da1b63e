// Ends without a failed request: stops listening, finishes the requests in progress, then ends.
import { once } from 'node:events'
import http from 'node:http'
import https from 'node:https'
import { AzureBlobCertCache, CertManager } from 'acme-cert-cache'

const { HOSTS = 'example.com', HTTP_PORT = '80', HTTPS_PORT = '443' } = process.env
const { AZURE_STORAGE_CONNECTION_STRING: connectionString, ACME_DIRECTORY_URL: directoryUrl } = process.env
const { SHUTDOWN_MS = '40000' } = process.env
const hostPolicy = HOSTS.split(',')
const container = { connectionString, containerName: 'autocertcache', createContainer: true }

const cache = await AzureBlobCertCache.connect(container)
const manager = new CertManager({ cache, hostPolicy, acme: { termsOfServiceAgreed: true, directoryUrl } })
const servers = [
  https.createServer(manager.tlsOptions(), (req, res) => req.pipe(res)).listen(HTTPS_PORT),
  http.createServer(manager.httpHandler()).listen(HTTP_PORT),
]

manager.on('issued', ({ host }) => console.log(`issued a certificate for ${host}`))
manager.on('issuanceFailed', ({ error }) => console.error(error.message))

for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, shutDown)

async function shutDown() {
  // The supervisor must wait longer before it kills: set TimeoutStopSec or terminationGracePeriodSeconds to 45.
  setTimeout(() => process.exit(1), Number(SHUTDOWN_MS)).unref()
  // Clients can keep connections open without a request, or a session of HTTP/2: those end after 10 s.
  setTimeout(endConnections, 10_000).unref()
  // Requests in progress are finished. Orders in progress are cancelled; another server places them.
  await Promise.all([manager.close(), ...servers.map((server) => once(server.close(), 'close'))])
}

function endConnections() {
  for (const server of servers) server.closeAllConnections()
}
