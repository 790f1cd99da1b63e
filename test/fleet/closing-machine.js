// A machine whose manager closes at a point of its first order that the test chooses. Then nothing of the test keeps the
// process running.
import https from 'node:https'
import { CertManager } from 'acme-cert-cache'
import { MemoryCertCache } from 'acme-cert-cache/testing'

const tell = (/** @type {object} */ message) => process.send?.(message)

process.once('message', (acme) => {
  const manager = new CertManager({
    cache: new MemoryCertCache(),
    hostPolicy: ['a.fleet.example'],
    acme: /** @type {import('acme-cert-cache').AcmeOptions} */ (acme),
  })
  // An outcome is expected: a failed order is no reason for a warning on the console.
  manager.on('issuanceFailed', () => undefined)
  const server = https.createServer(manager.tlsOptions())
  server.on('tlsClientError', () => undefined)
  server.listen(0, '127.0.0.1', () => {
    tell({ port: /** @type {import('node:net').AddressInfo} */ (server.address()).port })
  })
  process.once('message', async () => {
    const waiter = manager.getCertificate('a.fleet.example').then(
      () => 'issued',
      ({ code }) => code,
    )
    process.once('message', async () => {
      const startedAt = performance.now()
      await manager.close()
      const closeMs = performance.now() - startedAt
      server.close()
      server.closeAllConnections()
      tell({ closeMs, waiter: await waiter })
      process.disconnect()
    })
  })
})
