// The certificates are in a table of PostgreSQL.
import http from 'node:http'
import https from 'node:https'
import { CertManager } from 'acme-cert-cache'
import { SqlCertCache } from 'acme-cert-cache/sql'
import pg from 'pg'

const { HOSTS = 'example.com', HTTP_PORT = '80', HTTPS_PORT = '443' } = process.env
const { DATABASE_URL: connectionString, ACME_DIRECTORY_URL: directoryUrl } = process.env
const hostPolicy = HOSTS.split(',')

const pool = new pg.Pool({ connectionString })
pool.on('error', (error) => console.error(error.message)) // Without it, a lost connection ends the process.
const cache = new SqlCertCache(pool)
await cache.createTables()
const manager = new CertManager({ cache, hostPolicy, acme: { termsOfServiceAgreed: true, directoryUrl } })
https.createServer(manager.tlsOptions(), (_req, res) => res.end('Hello\n')).listen(HTTPS_PORT)
http.createServer(manager.httpHandler()).listen(HTTP_PORT)

manager.on('issued', ({ host }) => console.log(`issued a certificate for ${host}`))
manager.on('issuanceFailed', ({ error }) => console.error(error.message))

process.once('SIGTERM', async () => {
  await manager.close()
  process.exit()
})
