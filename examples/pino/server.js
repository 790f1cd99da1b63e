// Logs what the manager does, with pino.
import http from 'node:http'
import https from 'node:https'
import { AzureBlobCertCache, CertManager } from 'acme-cert-cache'
import pino from 'pino'

const { HOSTS = 'example.com', HTTP_PORT = '80', HTTPS_PORT = '443' } = process.env
const { AZURE_STORAGE_CONNECTION_STRING: connectionString, ACME_DIRECTORY_URL: directoryUrl } = process.env
const hostPolicy = HOSTS.split(',')
const container = { connectionString, containerName: 'autocertcache', createContainer: true }

const cache = await AzureBlobCertCache.connect(container)
const manager = new CertManager({ cache, hostPolicy, acme: { termsOfServiceAgreed: true, directoryUrl } })
https.createServer(manager.tlsOptions(), (_req, res) => res.end('Hello\n')).listen(HTTPS_PORT)
http.createServer(manager.httpHandler()).listen(HTTP_PORT)

const logger = pino()
manager.on('issued', (event) => logger.info(event, 'certificate issued'))
manager.on('renewed', (event) => logger.info(event, 'certificate renewed'))
manager.on('issuanceFailed', ({ host, error }) => logger.error({ host, err: error }, 'order failed'))
manager.on('renewalFailed', ({ host, error }) => logger.error({ host, err: error }, 'renewal failed'))
manager.on('storeFailed', ({ error, ...event }) => logger.error({ ...event, err: error }, 'store failed'))
manager.on('handshakeFailed', ({ host, error }) => logger.warn({ host, err: error }, 'handshake failed'))
manager.on('invalid', (event) => logger.warn(event, 'stored certificate is unusable'))
manager.on('refused', (event) => logger.debug(event, 'handshake refused'))
process.on('warning', (warning) => logger.warn(warning))

process.once('SIGTERM', async () => {
  await manager.close()
  process.exit()
})
