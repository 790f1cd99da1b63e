// Measures full TLS 1.3 handshakes with a cached certificate. Compares the manager's callbacks with minimal callbacks
// and with a server that has none.
import { fork } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import https from 'node:https'
import { createSecureContext } from 'node:tls'
import { fileURLToPath } from 'node:url'
import { CertManager } from 'acme-cert-cache'
import { makeCertificate } from './certificate.js'
import { median, medianRatio } from './measure.js'

const host = 'bench.example.com'
const handshakesPerRound = 200
const rounds = 32
const warmUpHandshakes = 1_000

export async function benchHandshakes() {
  const { key, cert } = await makeCertificate(host)
  let storeRequests = 0
  const store = {
    async get() {
      storeRequests += 1
      return Buffer.from(key + cert)
    },
    async put() {},
    async delete() {},
  }
  /** @type {import('acme-cert-cache').CertManagerOptions} */
  const settings = { cache: store, hostPolicy: [host], acme: { termsOfServiceAgreed: true } }
  const manager = new CertManager(settings)
  const ticketManager = new CertManager({ ...settings, sessionTickets: { secret: randomBytes(32) } })
  for (const each of [manager, ticketManager]) await each.ensure([host])
  const contexts = new Map([[host, createSecureContext({ key, cert })]])
  /** @type {https.ServerOptions} */
  const minimal = {
    SNICallback: (name, callback) => callback(null, contexts.get(name)),
    ALPNCallback: ({ protocols }) => (protocols.includes('http/1.1') ? 'http/1.1' : undefined),
  }
  const servers = {
    manager: https.createServer(manager.tlsOptions()),
    minimal: https.createServer(minimal),
    // A second copy: the ratio of two equal servers is the noise of this machine.
    again: https.createServer(minimal),
    static: https.createServer({ key, cert }),
    tickets: https.createServer(ticketManager.tlsOptions()),
    ca: https.createServer(manager.tlsOptions({ ca: cert })),
  }
  ticketManager.attach(servers.tickets)
  const ports = Object.fromEntries(
    await Promise.all(
      Object.entries(servers).map(async ([name, server]) => {
        // The client closes each connection right after the handshake.
        server.on('tlsClientError', () => undefined)
        server.listen(0, '127.0.0.1')
        await once(server, 'listening')
        return [name, /** @type {import('node:net').AddressInfo} */ (server.address()).port]
      }),
    ),
  )
  const client = fork(fileURLToPath(new URL('client.js', import.meta.url)))

  const run = async (/** @type {string} */ name, /** @type {number} */ count) => {
    const cpuBefore = process.cpuUsage()
    const startedAt = performance.now()
    client.send({ port: ports[name], host, count })
    await once(client, 'message')
    const wallMs = performance.now() - startedAt
    const { user, system } = process.cpuUsage(cpuBefore)
    return { cpu: (user + system) / count, rate: (count / wallMs) * 1000 }
  }

  const names = /** @type {const} */ (['manager', 'minimal', 'again', 'static', 'tickets', 'ca'])
  for (const name of names) await run(name, warmUpHandshakes)
  /** @type {Record<string, { cpu: number, rate: number }[]>} */
  const results = Object.fromEntries(names.map((name) => [name, []]))
  for (let round = 0; round < rounds; round++) {
    // A different server goes first in each round, so that the order favours none.
    for (let i = 0; i < names.length; i++) {
      const name = /** @type {string} */ (names[(round + i) % names.length])
      results[name]?.push(await run(name, handshakesPerRound))
    }
  }
  client.disconnect()
  for (const server of Object.values(servers)) server.close()
  for (const each of [manager, ticketManager]) await each.close()

  const ratio = (
    /** @type {string} */ name,
    /** @type {string} */ baseline,
    /** @type {'cpu' | 'rate'} */ metric,
  ) => {
    const of = (/** @type {string} */ server) => (results[server] ?? []).map((result) => result[metric])
    return medianRatio(of(name), of(baseline))
  }
  console.log(
    `Warm full TLS 1.3 handshakes, ${rounds} rounds of ${handshakesPerRound} each in alternation, client in another process`,
  )
  for (const name of names) {
    const serverResults = results[name] ?? []
    const cpu = median(serverResults.map((result) => result.cpu))
    const rate = median(serverResults.map((result) => result.rate))
    console.log(
      `  ${name.padEnd(8)} ${cpu.toFixed(0)} µs server CPU per handshake, ${rate.toFixed(0)} handshakes/s`,
    )
  }
  console.log(`  CPU, manager / minimal: ${ratio('manager', 'minimal', 'cpu')}, at most 1.05`)
  console.log(`  CPU, again / minimal:   ${ratio('again', 'minimal', 'cpu')}, the noise`)
  console.log(`  CPU, manager / static:  ${ratio('manager', 'static', 'cpu')}`)
  console.log(`  CPU, with sessionTickets / manager: ${ratio('tickets', 'manager', 'cpu')}`)
  console.log(`  CPU, with ca / manager:             ${ratio('ca', 'manager', 'cpu')}`)
  console.log(`  rate, manager / minimal: ${ratio('manager', 'minimal', 'rate')}`)
  console.log(`  rate, manager / static:  ${ratio('manager', 'static', 'rate')}`)
  console.log(`  store requests during all of it: ${storeRequests - 2} (0)`)
}
