// Measures resumed handshakes against full ones: two server processes share a folder and session tickets.
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { DirCertCache } from 'acme-cert-cache'
import { makeCertificate } from './certificate.js'
import { median, medianRatio } from './measure.js'

const host = 'bench.example.com'
const handshakesPerRound = 100
const rounds = 24
const warmUpHandshakes = 300
const agreementMs = 30_000

/** @typedef {Awaited<ReturnType<typeof startServer>>} Server */
/** @typedef {{ cpu: number, bytes: number }} Cost Per handshake: µs of server CPU, and bytes over TCP */

export async function benchResumption() {
  const folder = await mkdtemp(join(tmpdir(), 'acme-cert-cache-bench-'))
  const certificate = await makeCertificate(host)
  await new DirCertCache(folder).put(host, Buffer.from(certificate.key + certificate.cert), {})
  const servers = await Promise.all([0, 1].map(() => startServer({ folder, host, certificate })))
  const [one, other] = /** @type {[Server, Server]} */ (servers)
  const client = fork(fileURLToPath(new URL('client.js', import.meta.url)))
  try {
    await waitForAgreement(servers)
    console.log(
      `Resumed and full handshakes at one of two servers (TLS 1.3: and one byte of data), ${rounds} rounds of ${handshakesPerRound} each in alternation`,
    )
    for (const version of /** @type {const} */ (['TLSv1.3', 'TLSv1.2']))
      await benchVersion(client, { one, other }, version)
  } finally {
    client.disconnect()
    for (const server of servers) server.close()
    await rm(folder, { recursive: true })
  }
}

/**
 * @param {import('node:child_process').ChildProcess} client
 * @param {{ one: Server, other: Server }} servers
 * @param {'TLSv1.2' | 'TLSv1.3'} version
 */
async function benchVersion(client, { one, other }, version) {
  const request = async (
    /** @type {Omit<import('./client.js').Handshakes, 'host' | 'version'>} */ details,
  ) => {
    client.send({ host, version, ...details })
    const [totals] = await once(client, 'message')
    return /** @type {import('./client.js').Totals} */ (totals)
  }
  const full = (/** @type {number} */ port, /** @type {number} */ count) =>
    one.measure(count, () => request({ port, count, session: 'keep' }))
  const resumed = async (/** @type {Server} */ origin, /** @type {number} */ count) => {
    await request({ port: origin.ports.manager, count: 1, session: 'keep' })
    const port = one.ports.manager
    const cost = await one.measure(count, () => request({ port, count, session: 'resume' }))
    if (cost.resumed < count) throw new Error(`${count - cost.resumed} of ${count} sessions were not resumed`)
    return cost
  }
  /** @type {Record<string, (count: number) => Promise<Cost>>} */
  const kinds = {
    'full, static server': (count) => full(one.ports.static, count),
    'full, manager': (count) => full(one.ports.manager, count),
    'resumed, same machine': (count) => resumed(one, count),
    'resumed, another machine': (count) => resumed(other, count),
  }
  const names = Object.keys(kinds)
  const run = (/** @type {string} */ name, /** @type {number} */ count) => kinds[name]?.(count)
  for (const name of names) await run(name, warmUpHandshakes)
  /** @type {Record<string, Cost[]>} */
  const costs = Object.fromEntries(names.map((name) => [name, []]))
  for (let round = 0; round < rounds; round++) {
    for (let i = 0; i < names.length; i++) {
      // A different kind goes first in each round, so that the order favours none.
      const name = /** @type {string} */ (names[(round + i) % names.length])
      costs[name]?.push(/** @type {Cost} */ (await run(name, handshakesPerRound)))
    }
  }
  const of = (/** @type {string} */ name, /** @type {keyof Cost} */ metric) =>
    (costs[name] ?? []).map((cost) => cost[metric])
  for (const name of names) {
    const cpu = median(of(name, 'cpu')).toFixed(0)
    const bytes = median(of(name, 'bytes')).toFixed(0)
    console.log(`  ${version} ${name.padEnd(24)} ${cpu} µs server CPU, ${bytes} bytes`)
  }
  const goals = /** @type {const} */ ({ 'TLSv1.3': '0.9', 'TLSv1.2': '0.5' })
  const baseline = of('full, static server', 'cpu')
  for (const name of names.slice(1)) {
    const goal = name === 'resumed, another machine' ? `, at most ${goals[version]}` : ''
    console.log(
      `  ${version} CPU, ${name} / full, static server: ${medianRatio(of(name, 'cpu'), baseline)}${goal}`,
    )
  }
}

/** @param {import('./server.js').ServerSettings} settings */
async function startServer(settings) {
  const child = fork(fileURLToPath(new URL('server.js', import.meta.url)))
  const report = async (/** @type {object} */ message = {}) => {
    child.send(message)
    const [received] = await once(child, 'message')
    return /** @type {import('./server.js').ServerReport} */ (received)
  }
  const { ports } = await report(settings)
  return {
    ports,
    ticketKey: async () => (await report()).ticketKey,
    /** Adds the server's CPU time per handshake to what the client reports. */
    async measure(
      /** @type {number} */ count,
      /** @type {() => Promise<import('./client.js').Totals>} */ run,
    ) {
      const before = await report()
      const { resumed, bytes } = await run()
      const after = await report()
      return { resumed, bytes: bytes / count, cpu: (after.cpuMicroseconds - before.cpuMicroseconds) / count }
    },
    close: () => child.disconnect(),
  }
}

/** Waits until the servers have the same ticket key: those that do not get the lock look again every second. */
async function waitForAgreement(/** @type {readonly Server[]} */ servers) {
  const end = performance.now() + agreementMs
  while (performance.now() < end) {
    const keys = await Promise.all(servers.map((server) => server.ticketKey()))
    if (new Set(keys).size === 1) return
    await delay(100)
  }
  throw new Error(`the servers have different ticket keys after ${agreementMs / 1_000} s`)
}
