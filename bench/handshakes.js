// Warm full TLS 1.3 handshakes: our callbacks against the least that callbacks could do, and against none.
import { fork } from 'node:child_process'
import { once } from 'node:events'
import https from 'node:https'
import { createSecureContext } from 'node:tls'
import { fileURLToPath } from 'node:url'
import { CertManager } from 'acme-cert-cache'
import { makeCertificate } from './certificate.js'
import { median, quartiles } from './measure.js'

const host = 'bench.example.com'
const slice = 200
const rounds = 32
const warmUp = 1_000

export async function benchHandshakes() {
  const { key, cert } = await makeCertificate(host)
  let requests = 0
  const store = {
    async get() {
      requests += 1
      return Buffer.from(key + cert)
    },
    async put() {},
    async delete() {},
  }
  const manager = new CertManager({ cache: store, hostPolicy: [host], acme: { termsOfServiceAgreed: true } })
  await manager.ensure([host])
  const contexts = new Map([[host, createSecureContext({ key, cert })]])
  /** @type {https.ServerOptions} */
  const minimal = {
    SNICallback: (name, callback) => callback(null, contexts.get(name)),
    ALPNCallback: ({ protocols }) => (protocols.includes('http/1.1') ? 'http/1.1' : undefined),
  }
  const servers = {
    manager: https.createServer(manager.tlsOptions()),
    minimal: https.createServer(minimal),
    // The same again: what the ratio of two equal servers is on this machine.
    again: https.createServer(minimal),
    static: https.createServer({ key, cert }),
  }
  const ports = Object.fromEntries(
    await Promise.all(
      Object.entries(servers).map(async ([name, server]) => {
        // Clients hang up at once, on purpose.
        server.on('tlsClientError', () => undefined)
        server.listen(0, '127.0.0.1')
        await once(server, 'listening')
        return [name, /** @type {import('node:net').AddressInfo} */ (server.address()).port]
      }),
    ),
  )
  const client = fork(fileURLToPath(new URL('client.js', import.meta.url)))

  const run = async (/** @type {string} */ name, /** @type {number} */ count) => {
    const cpu = process.cpuUsage()
    const started = performance.now()
    client.send({ port: ports[name], host, count })
    await once(client, 'message')
    const wall = performance.now() - started
    const { user, system } = process.cpuUsage(cpu)
    return { cpu: (user + system) / count, rate: (count / wall) * 1000 }
  }

  const names = /** @type {const} */ (['manager', 'minimal', 'again', 'static'])
  for (const name of names) await run(name, warmUp)
  /** @type {Record<string, { cpu: number, rate: number }[]>} */
  const results = { manager: [], minimal: [], again: [], static: [] }
  for (let round = 0; round < rounds; round++) {
    // Each in turn is first, so that none has the advantage of its place.
    for (let i = 0; i < names.length; i++) {
      const name = /** @type {string} */ (names[(round + i) % names.length])
      results[name]?.push(await run(name, slice))
    }
  }
  client.disconnect()
  for (const server of Object.values(servers)) server.close()
  await manager.close()

  /** Of each round by itself: what slows the machine down slows both. */
  const ratio = (/** @type {string} */ of, /** @type {string} */ to, /** @type {'cpu' | 'rate'} */ unit) => {
    const all = (results[of] ?? []).map(
      (mine, round) => mine[unit] / (results[to]?.[round]?.[unit] ?? Number.NaN),
    )
    return `${median(all).toFixed(3)} (quartiles ${quartiles(all)})`
  }
  console.log(
    `Warm full TLS 1.3 handshakes, ${rounds} rounds of ${slice} each in alternation, client in another process`,
  )
  for (const name of names) {
    const all = results[name] ?? []
    const cpu = median(all.map((result) => result.cpu))
    const rate = median(all.map((result) => result.rate))
    console.log(
      `  ${name.padEnd(8)} ${cpu.toFixed(0)} µs server CPU per handshake, ${rate.toFixed(0)} handshakes/s`,
    )
  }
  console.log(`  CPU, manager / minimal: ${ratio('manager', 'minimal', 'cpu')}, at most 1.05`)
  console.log(`  CPU, again / minimal:   ${ratio('again', 'minimal', 'cpu')}, the noise`)
  console.log(`  CPU, manager / static:  ${ratio('manager', 'static', 'cpu')}`)
  console.log(`  rate, manager / minimal: ${ratio('manager', 'minimal', 'rate')}`)
  console.log(`  rate, manager / static:  ${ratio('manager', 'static', 'rate')}`)
  console.log(`  store requests during all of it: ${requests - 1} (0)`)
}
