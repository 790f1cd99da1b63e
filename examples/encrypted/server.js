// The values in the container are encrypted. Every server needs the key: openssl rand -base64 32
import http from 'node:http'
import https from 'node:https'
import { AzureBlobCertCache, CertManager, EncryptedCertCache } from 'acme-cert-cache'

const { HOSTS = 'example.com', HTTP_PORT = '80', HTTPS_PORT = '443' } = process.env
const { AZURE_STORAGE_CONNECTION_STRING: connectionString, ACME_DIRECTORY_URL: directoryUrl } = process.env
const hostPolicy = HOSTS.split(',')
const container = { connectionString, containerName: 'autocertcache', createContainer: true }
const { CERT_KEY = '', CERT_KEY_ID = '1' } = process.env
const current = { id: CERT_KEY_ID, key: Buffer.from(CERT_KEY, 'base64') }

const store = await AzureBlobCertCache.connect(container)
const cache = new EncryptedCertCache(store, { keys: { current } })
const manager = new CertManager({ cache, hostPolicy, acme: { termsOfServiceAgreed: true, directoryUrl } })
https.createServer(manager.tlsOptions(), (_req, res) => res.end('Hello\n')).listen(HTTPS_PORT)
http.createServer(manager.httpHandler()).listen(HTTP_PORT)

manager.on('issued', ({ host }) => console.log(`issued a certificate for ${host}`))
manager.on('issuanceFailed', ({ error }) => console.error(error.message))

process.once('SIGTERM', async () => {
  await manager.close()
  process.exit()
})
