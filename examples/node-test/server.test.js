// Tests a server against a CA in this process, without network: node --test node-test/
import assert from 'node:assert/strict'
import { once } from 'node:events'
import https from 'node:https'
import { text } from 'node:stream/consumers'
import { test } from 'node:test'
import { CertManager } from 'acme-cert-cache'
import { MemoryCertCache, TestCa } from 'acme-cert-cache/testing'

test('the server gets a certificate and answers over https', async (t) => {
  const ca = await TestCa.start()
  t.after(() => ca.close())
  const manager = new CertManager({
    cache: new MemoryCertCache(),
    hostPolicy: ['shop.example'],
    acme: { termsOfServiceAgreed: true, directoryUrl: ca.directoryUrl, ca: ca.endpointCertificate },
  })
  t.after(() => manager.close())
  const server = https.createServer(manager.tlsOptions(), (_req, res) => res.end('Hello'))
  t.after(() => server.close())
  await once(server.listen(0), 'listening')
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address())
  ca.tlsPort = port // The CA validates every name at 127.0.0.1, on this port.

  await manager.ensure(['shop.example'])

  const options = { host: '127.0.0.1', port, servername: 'shop.example', ca: ca.rootCertificate }
  const [response] = await once(https.get(options), 'response')
  assert.equal(await text(response), 'Hello')
  assert.equal(ca.ordersFor('shop.example'), 1)
})
