// Serves every host that is in the table `tenants`. A new row works at once, without a restart.
import http from 'node:http'
import https from 'node:https'
import { AzureBlobCertCache, CertManager } from 'acme-cert-cache'
import pg from 'pg'

const { DATABASE_URL, HTTP_PORT = '80', HTTPS_PORT = '443' } = process.env
const { AZURE_STORAGE_CONNECTION_STRING: connectionString, ACME_DIRECTORY_URL: directoryUrl } = process.env
const container = { connectionString, containerName: 'autocertcache', createContainer: true }

const pool = new pg.Pool({ connectionString: DATABASE_URL })
pool.on('error', (error) => console.error(error.message)) // Without it, a lost connection ends the process.

const cache = await AzureBlobCertCache.connect(container)
const manager = new CertManager({
  cache,
  // Called for a host without a certificate in memory, before anything is read or ordered, and before each renewal.
  hostPolicy: async (host) => {
    const { rowCount } = await pool.query('select 1 from tenants where domain = $1', [host])
    return rowCount === 1
  },
  acme: { termsOfServiceAgreed: true, directoryUrl },
})
https.createServer(manager.tlsOptions(), (_req, res) => res.end('Hello\n')).listen(HTTPS_PORT)
http.createServer(manager.httpHandler()).listen(HTTP_PORT)

manager.on('issued', ({ host }) => console.log(`issued a certificate for ${host}`))
manager.on('issuanceFailed', ({ error }) => console.error(error.message))

process.once('SIGTERM', async () => {
  await manager.close()
  process.exit()
})
