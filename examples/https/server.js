// HTTPS on node:https. The certificates are in an Azure Blob container that all your servers share.
import http from 'node:http'
import https from 'node:https'
import { AzureBlobCertCache, CertManager } from 'acme-cert-cache'

const { HOSTS = 'example.com', HTTP_PORT = '80', HTTPS_PORT = '443' } = process.env
const { AZURE_STORAGE_CONNECTION_STRING: connectionString, ACME_DIRECTORY_URL: directoryUrl } = process.env
const hostPolicy = HOSTS.split(',')
const container = { connectionString, containerName: 'autocertcache', createContainer: true }

const cache = await AzureBlobCertCache.connect(container)
const manager = new CertManager({ cache, hostPolicy, acme: { termsOfServiceAgreed: true, directoryUrl } })
https.createServer(manager.tlsOptions(), (_req, res) => res.end('Hello\n')).listen(HTTPS_PORT)
http.createServer(manager.httpHandler()).listen(HTTP_PORT)

manager.on('issued', ({ host }) => console.log(`issued a certificate for ${host}`))
manager.on('issuanceFailed', ({ error }) => console.error(error.message))

process.once('SIGTERM', async () => {
  await manager.close()
  process.exit()
})
