// No secret: the server authenticates with its managed identity, which needs the role
// "Storage Blob Data Contributor" on the container. On your own machine it uses the account of `az login`.
import http from 'node:http'
import https from 'node:https'
import { DefaultAzureCredential } from '@azure/identity'
import { AzureBlobCertCache, CertManager } from 'acme-cert-cache'

const { HOSTS = 'example.com', HTTP_PORT = '80', HTTPS_PORT = '443' } = process.env
const { AZURE_STORAGE_ACCOUNT: accountName, ACME_DIRECTORY_URL: directoryUrl } = process.env
const hostPolicy = HOSTS.split(',')
const container = { accountName, credential: new DefaultAzureCredential(), containerName: 'autocertcache' }

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
