// The certificates are in a folder: of one server, or mounted on all of them.
import http from 'node:http'
import https from 'node:https'
import { CertManager, DirCertCache } from 'acme-cert-cache'

const { HOSTS = 'example.com', HTTP_PORT = '80', HTTPS_PORT = '443' } = process.env
const { CERT_DIR = '/var/lib/certificates', ACME_DIRECTORY_URL: directoryUrl } = process.env
const hostPolicy = HOSTS.split(',')

const cache = new DirCertCache(CERT_DIR)
const manager = new CertManager({ cache, hostPolicy, acme: { termsOfServiceAgreed: true, directoryUrl } })
https.createServer(manager.tlsOptions(), (_req, res) => res.end('Hello\n')).listen(HTTPS_PORT)
http.createServer(manager.httpHandler()).listen(HTTP_PORT)

manager.on('issued', ({ host }) => console.log(`issued a certificate for ${host}`))
manager.on('issuanceFailed', ({ error }) => console.error(error.message))

process.once('SIGTERM', async () => {
  await manager.close()
  process.exit()
})
