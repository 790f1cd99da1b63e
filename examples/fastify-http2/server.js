// Fastify with HTTP/2, and HTTP/1.1 for older clients. Port 443 is enough: the CA validates over TLS (tls-alpn-01).
import { AzureBlobCertCache, CertManager } from 'acme-cert-cache'
import fastify from 'fastify'

const { HOSTS = 'example.com', HTTPS_PORT = '443' } = process.env
const { AZURE_STORAGE_CONNECTION_STRING: connectionString, ACME_DIRECTORY_URL: directoryUrl } = process.env
const hostPolicy = HOSTS.split(',')
const container = { connectionString, containerName: 'autocertcache', createContainer: true }

const cache = await AzureBlobCertCache.connect(container)
const manager = new CertManager({ cache, hostPolicy, acme: { termsOfServiceAgreed: true, directoryUrl } })
const app = fastify({ http2: true, https: { allowHTTP1: true, ...manager.tlsOptions() } })
app.get('/', async (request) => `Hello over HTTP/${request.raw.httpVersion}\n`)
await app.listen({ port: Number(HTTPS_PORT), host: '::' })

manager.on('issued', ({ host }) => console.log(`issued a certificate for ${host}`))
manager.on('issuanceFailed', ({ error }) => console.error(error.message))

process.once('SIGTERM', async () => {
  await app.close()
  await manager.close()
  process.exit()
})
