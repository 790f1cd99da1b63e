import { fork } from 'node:child_process'
import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import { fileURLToPath } from 'node:url'

/**
 * @typedef {object} ServerSettings
 * @property {string} name
 * @property {import('acme-cert-cache').AzureConnectOptions} azure
 * @property {string[]} hosts
 * @property {{ directoryUrl: string, ca: string }} acme
 */

/** Starts a server process. Resolves when it listens. */
export async function startServer(/** @type {ServerSettings} */ settings) {
  const child = fork(fileURLToPath(new URL('server.js', import.meta.url)))
  /** @type {{ served?: { source: string }, refused?: object, failed?: string }[]} */
  const outcomes = []
  /** @type {() => void} */
  let wake = () => {}
  child.on('message', (/** @type {any} */ message) => {
    if (message.listening) return
    outcomes.push(message)
    wake()
  })
  child.send(settings)
  const exitedEarly = once(child, 'exit').then(([code, signal]) => {
    throw new Error(`${settings.name} ended with ${code ?? signal} before it listened`)
  })
  const [{ listening }] = await Promise.race([once(child, 'message'), exitedEarly])
  exitedEarly.catch(() => {})
  return {
    name: settings.name,
    pid: /** @type {number} */ (child.pid),
    tlsPort: /** @type {number} */ (listening.tlsPort),
    httpPort: /** @type {number} */ (listening.httpPort),
    /** Resolves with the outcomes of the server's handshakes, one per call, in their order. */
    async nextOutcome() {
      while (outcomes.length === 0) {
        if (child.exitCode !== null || child.signalCode !== null)
          throw new Error(`${settings.name} has ended`)
        await new Promise((resolve) => {
          wake = () => resolve(undefined)
          child.once('exit', wake)
        })
        child.off('exit', wake)
      }
      return /** @type {(typeof outcomes)[0]} */ (outcomes.shift())
    },
    async kill() {
      if (child.exitCode !== null || child.signalCode !== null) return
      const exited = once(child, 'exit')
      child.kill('SIGKILL')
      await exited
    },
  }
}

/** Starts a round-robin TCP load balancer. It calls `getPorts` for each connection. */
export async function startBalancer(/** @type {() => number[]} */ getPorts) {
  let connections = 0
  const sockets = new Set()
  const server = createServer((client) => {
    const ports = getPorts()
    const port = ports[connections++ % ports.length]
    if (port === undefined) return void client.destroy()
    const upstream = connect(port, '127.0.0.1')
    for (const [from, to] of /** @type {const} */ ([
      [client, upstream],
      [upstream, client],
    ])) {
      sockets.add(from)
      from.pipe(to)
      from.on('error', () => to.destroy())
      from.on('close', () => {
        sockets.delete(from)
        to.destroy()
      })
    }
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: /** @type {import('node:net').AddressInfo} */ (server.address()).port,
    async close() {
      const closed = once(server, 'close')
      server.close()
      for (const socket of sockets) socket.destroy()
      await closed
    },
  }
}
