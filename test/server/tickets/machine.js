// A machine that shares session tickets: a process with an https server or a cluster of such processes, each with a clock
// that the test controls.
import cluster from 'node:cluster'
import https from 'node:https'
import { CertManager, DirCertCache } from 'acme-cert-cache'
import { ShiftingClock } from '../../support/shifting-clock.js'

/**
 * @typedef {object} Settings
 * @property {string} folder Of the store
 * @property {string} host
 * @property {number} aheadMs How far the clock is ahead, in milliseconds
 * @property {number} workers Size of the cluster; 0 for a single process
 */
/** @typedef {{ pid: number, port: number, ticketKey: string }} Report */

const settings = /** @type {Settings} */ (JSON.parse(process.env.MACHINE ?? '{}'))
process.on('disconnect', () => process.exit())
if (cluster.isPrimary && settings.workers > 0) startWorkers(settings.workers)
else startServer(settings)

/** Passes messages on between the test and the workers. */
function startWorkers(/** @type {number} */ count) {
  const workers = Array.from({ length: count }, (_, index) => {
    // Node derives the default sessionIdContext from the command line, which differs between the processes of a fleet.
    cluster.setupPrimary({ args: [`--worker=${index}`] })
    return cluster.fork()
  })
  for (const worker of workers) worker.on('message', (message) => process.send?.(message))
  process.on('message', (/** @type {object} */ message) => {
    for (const worker of workers) worker.send(message)
  })
}

function startServer(/** @type {Settings} */ { folder, host, aheadMs }) {
  const clock = new ShiftingClock()
  clock.jump(aheadMs)
  const manager = new CertManager({
    cache: new DirCertCache(folder),
    hostPolicy: [host],
    acme: { termsOfServiceAgreed: true, directoryUrl: 'https://127.0.0.1:1/directory', keyPrefix: '' },
    sessionTickets: true,
    clock,
  })
  const server = https.createServer(manager.tlsOptions())
  server.on('secureConnection', (socket) => socket.end(`${process.pid}`))
  server.on('tlsClientError', () => {})
  manager.attach(server)
  const report = () => {
    const { port } = /** @type {import('node:net').AddressInfo} */ (server.address())
    process.send?.({ pid: process.pid, port, ticketKey: server.getTicketKeys().toString('hex') })
  }
  process.on('message', (/** @type {{ jump: number }} */ { jump }) => {
    clock.jump(jump)
    report()
  })
  server.listen(0, '127.0.0.1', report)
}
