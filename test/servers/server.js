// A server with a manager, as a worker of a cluster or in a worker thread. It reports its port, and closes on request.
import cluster from 'node:cluster'
import { once } from 'node:events'
import https from 'node:https'
import { parentPort, workerData } from 'node:worker_threads'
import { CertManager, DirCertCache } from '../../dist/index.js'

/** @type {{ folder: string, host: string, acme: import('../../dist/index.js').AcmeOptions }} */
const settings = workerData ?? JSON.parse(String(process.env.SETTINGS))
const name = cluster.worker ? cluster.worker.id : 'the thread'

const manager = new CertManager({
  cache: new DirCertCache(settings.folder),
  hostPolicy: [settings.host],
  acme: settings.acme,
})
const server = https.createServer(manager.tlsOptions(), (_req, res) => res.end(`hello from ${name}`))
server.listen(0, '127.0.0.1')
await once(server, 'listening')

const { port } = /** @type {import('node:net').AddressInfo} */ (server.address())
if (parentPort) {
  parentPort.postMessage(port)
  await once(parentPort, 'message')
} else {
  process.send?.(port)
  await once(process, 'message')
}
server.close()
await manager.close()
parentPort?.close()
if (cluster.worker) cluster.worker.disconnect()
