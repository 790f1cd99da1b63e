// A program that tests a server with TestCa, as the README shows. It must end without process.exit().
import { once } from 'node:events'
import https from 'node:https'
import { text } from 'node:stream/consumers'
import { CertManager } from 'acme-cert-cache'
import { MemoryCertCache, TestCa } from 'acme-cert-cache/testing'

const ca = await TestCa.start({ challengeTypes: ['tls-alpn-01'] })
const cache = new MemoryCertCache()
const manager = new CertManager({
  cache,
  hostPolicy: ['a.example'],
  acme: { termsOfServiceAgreed: true, directoryUrl: ca.directoryUrl, ca: ca.endpointCertificate },
})
const server = https.createServer(manager.tlsOptions(), (_, res) => res.end('hello')).listen(0)
await once(server, 'listening')
const { port } = /** @type {import('node:net').AddressInfo} */ (server.address())
ca.tlsPort = port
await manager.ensure(['a.example'])
const place = { host: '127.0.0.1', port, servername: 'a.example', ca: ca.rootCertificate }
const [response] = await once(https.get(place), 'response')
console.log(await text(response))
for await (const { name } of cache.list()) {
  if (name.endsWith('a.example')) console.log(name.replace(new URL(ca.directoryUrl).port, 'PORT'))
}
server.close()
await manager.close()
await ca.close()
