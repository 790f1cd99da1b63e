// The certificates are in an SQLite file, which the processes of one machine share. Needs Node 22.13 or later.
import http from 'node:http'
import https from 'node:https'
import { DatabaseSync } from 'node:sqlite'
import { CertManager } from 'acme-cert-cache'
import { SqlCertCache } from 'acme-cert-cache/sql'

const { HOSTS = 'example.com', HTTP_PORT = '80', HTTPS_PORT = '443' } = process.env
const { DATABASE_FILE = 'certificates.db', ACME_DIRECTORY_URL: directoryUrl } = process.env
const hostPolicy = HOSTS.split(',')

const cache = new SqlCertCache(new DatabaseSync(DATABASE_FILE))
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
