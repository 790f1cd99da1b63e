// Three server processes share one container and one CA. Shows where each server gets its certificates from.
//   npm run demo             keeps running, to try it with curl
//   npm run demo -- --once   ends, with exit code 0 only if every claim holds
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { connect } from 'node:tls'
import { parseArgs, styleText } from 'node:util'
import { TestCa } from '#testing'
import { startAzurite } from './azurite.js'
import { startBalancer, startServer } from './fleet.js'

const { values: options } = parseArgs({ options: { once: { type: 'boolean', default: false } } })
const hosts = ['shop.example.com', 'blog.example.com', 'news.example.com']
const disallowedHost = 'evil.example.com'

/** @type {(() => Promise<unknown>)[]} */
const cleanUps = []
/** @type {{ host: string, server: string, from: string, ms: number }[]} */
const rows = []
let brokenClaims = 0

/** @type {Record<string, string>} */
const descriptions = {
  acme: 'memory miss, store miss, ordered from the CA',
  store: 'memory miss, store hit',
  memory: 'memory hit',
  session: 'session of another server resumed',
  refused: 'refused by the policy',
}

function claim(/** @type {boolean} */ holds, /** @type {string} */ text) {
  if (!holds) brokenClaims += 1
  console.log(`${holds ? paint('green', '  ✓') : paint('red', '  ✗')} ${text}`)
}

const paint = (/** @type {any} */ style, /** @type {string} */ text) =>
  process.stdout.isTTY && !process.env.NO_COLOR ? styleText(style, text) : text

const interrupted = Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')])
let exitCode = 1
try {
  exitCode = await Promise.race([run(), interrupted.then(() => 130)])
} finally {
  for (const cleanUp of cleanUps.reverse()) await cleanUp()
  process.exit(exitCode)
}

async function run() {
  const folder = await mkdtemp(join(tmpdir(), 'acme-cert-cache-demo-'))
  cleanUps.push(() => rm(folder, { recursive: true }))

  const { close: stopAzurite, ...account } = await startAzurite()
  cleanUps.push(stopAzurite)
  console.log(`Azurite       ${account.endpoint}, container autocertcache`)

  /** @type {Awaited<ReturnType<typeof startServer>>[]} */
  const servers = []
  const http = await startBalancer(() => servers.map(({ httpPort }) => httpPort))
  const https = await startBalancer(() => servers.map(({ tlsPort }) => tlsPort))
  cleanUps.push(http.close, https.close)

  // The CA validates through the load balancers, so any server may receive its request.
  const ca = await TestCa.start({ httpPort: http.port, tlsPort: https.port })
  cleanUps.push(() => ca.close())
  const root = join(folder, 'root.pem')
  await writeFile(root, ca.rootCertificate)
  const endpointRoot = join(folder, 'endpoint.pem')
  await writeFile(endpointRoot, ca.endpointCertificate)
  console.log(`CA            ${ca.directoryUrl}`)

  const azure = { ...account, containerName: 'autocertcache' }
  const start = async (/** @type {number} */ number) => {
    const acme = { directoryUrl: ca.directoryUrl, ca: ca.endpointCertificate }
    const createContainer = number === 1
    const server = await startServer({
      name: `server ${number}`,
      azure: { ...azure, createContainer },
      hosts,
      acme,
    })
    cleanUps.push(server.kill)
    servers[number - 1] = server
    console.log(
      `server ${number}      https port ${server.tlsPort}, http port ${server.httpPort}, process ${server.pid}`,
    )
    return server
  }
  for (const number of [1, 2, 3]) await start(number)
  const [server1, server2, server3] =
    /** @type {[typeof servers[0], typeof servers[0], typeof servers[0]]} */ (servers)

  const request = async (
    /** @type {typeof server1} */ server,
    /** @type {string} */ host,
    /** @type {string} */ expected,
  ) => {
    const startedAt = performance.now()
    const serialNumber = await handshake(server.tlsPort, host, ca.rootCertificate)
    const ms = performance.now() - startedAt
    const { served, failed } = await server.nextOutcome()
    const from = served ? served.source : failed ? `failed, ${failed}` : 'refused'
    rows.push({ host, server: server.name, from, ms })
    claim(from === expected, `${host} at ${server.name}: ${descriptions[from] ?? from}, ${ms.toFixed(1)} ms`)
    return serialNumber
  }

  const [shop, blog, news] = /** @type {[string, string, string]} */ (hosts)
  console.log('\nThe first request places one order for all servers:')
  const serial = await request(server1, shop, 'acme')
  const serials = [await request(server2, shop, 'store'), await request(server3, shop, 'store')]
  claim(
    serials.every((other) => other === serial) && serial !== undefined,
    `all three serve certificate ${serial}`,
  )
  console.log('\nThe same host again:')
  for (const server of [server1, server2, server3]) await request(server, shop, 'memory')
  console.log('\nA client reconnects at another server:')
  const { isResumed, ms } = await reconnect(server1, server2, shop, ca.rootCertificate)
  rows.push({ host: shop, server: server2.name, from: isResumed ? 'session' : 'memory', ms })
  claim(isResumed, `${shop} at ${server2.name}: ${descriptions.session}, ${ms.toFixed(1)} ms`)
  console.log('\nAnother host, first at another server:')
  await request(server2, blog, 'acme')
  await request(server3, blog, 'store')
  console.log('\nServer 1 is killed and started again:')
  await server1.kill()
  const restarted = await start(1)
  await request(restarted, shop, 'store')
  await request(restarted, shop, 'memory')
  console.log('\nThree cold servers, 50 handshakes each at once:')
  const ordersBefore = ca.counts.orders
  const handshakes = servers.flatMap(({ tlsPort }) =>
    Array.from({ length: 50 }, () => handshake(tlsPort, news, ca.rootCertificate)),
  )
  const serialNumbers = new Set(await Promise.all(handshakes))
  for (const server of servers) for (let i = 0; i < 50; i++) await server.nextOutcome()
  const newOrders = ca.counts.orders - ordersBefore
  claim(
    newOrders === 1 && serialNumbers.size === 1 && !serialNumbers.has(undefined),
    `${news}: ${handshakes.length} handshakes, ${serialNumbers.size} certificate, orders: ${newOrders}`,
  )
  console.log('\nA host that the policy does not allow:')
  await request(restarted, disallowedHost, 'refused')

  const { orders, accounts } = ca.counts
  console.log(`\n${formatTable()}\n`)
  claim(orders === hosts.length, `orders at the CA: ${orders}, for ${hosts.length} hosts on 3 servers`)
  claim(accounts === 1, `accounts at the CA: ${accounts}`)
  console.log(brokenClaims === 0 ? '\nEvery claim held.' : `\n${brokenClaims} claims did not hold.`)
  if (options.once) return brokenClaims === 0 ? 0 : 1

  console.log(
    `\nTry it:\n  curl --cacert ${root} --resolve ${shop}:${https.port}:127.0.0.1 https://${shop}:${https.port}/`,
  )
  const flags = `--container ${azure.containerName} --endpoint ${azure.endpoint}`
  console.log(
    `\nThe operator's command, with the Azurite account that was created for this run:
  export AZURE_STORAGE_ACCOUNT=${azure.accountName} AZURE_STORAGE_KEY=${azure.accountKey}
  node dist/cli/main.js ls ${flags}
  node dist/cli/main.js doctor ${flags} --directory ${ca.directoryUrl} --ca ${endpointRoot}`,
  )
  console.log('\nPress Ctrl+C to stop.')
  await interrupted
  return 0
}

/** Opens a TLS connection and verifies the certificate. Resolves with its serial number; `undefined` on failure. */
async function handshake(
  /** @type {number} */ port,
  /** @type {string} */ servername,
  /** @type {string} */ root,
) {
  const socket = connect({ host: '127.0.0.1', port, servername, ca: root, ALPNProtocols: ['http/1.1'] })
  try {
    await once(socket, 'secureConnect')
    return socket.getPeerCertificate().serialNumber
  } catch {
    return undefined // The server reports the reason.
  } finally {
    socket.destroy()
  }
}

/**
 * Connects to one server, then to another with the session of the first. Tries again for 20 s: a server that has just
 * started may not have read the shared secret of the ticket keys. Resolves with the outcome of the last attempt.
 */
async function reconnect(
  /** @type {Awaited<ReturnType<typeof startServer>>} */ first,
  /** @type {Awaited<ReturnType<typeof startServer>>} */ second,
  /** @type {string} */ servername,
  /** @type {string} */ root,
) {
  const end = performance.now() + 20_000
  for (;;) {
    const options = { host: '127.0.0.1', servername, ca: root, ALPNProtocols: ['http/1.1'] }
    const initial = connect({ ...options, port: first.tlsPort })
    const [session] = await once(initial, 'session')
    initial.destroy()
    const startedAt = performance.now()
    const socket = connect({ ...options, port: second.tlsPort, session })
    await once(socket, 'secureConnect')
    const ms = performance.now() - startedAt
    const isResumed = socket.isSessionReused()
    socket.destroy()
    // A full handshake has an outcome; a resumed one needs no certificate and has none.
    await first.nextOutcome()
    if (!isResumed) await second.nextOutcome()
    if (isResumed || performance.now() > end) return { isResumed, ms }
    await delay(200)
  }
}

function formatTable() {
  const cells = [
    ['host', 'server', 'from', 'ms'],
    ...rows.map(({ host, server, from, ms }) => [host, server, from, ms.toFixed(1)]),
  ]
  const widths = [0, 1, 2, 3].map((column) => Math.max(...cells.map((row) => String(row[column]).length)))
  const formatRow = (/** @type {string[]} */ row) =>
    row
      .map((cell, column) =>
        column === 3 ? cell.padStart(widths[3] ?? 0) : cell.padEnd(widths[column] ?? 0),
      )
      .join('  ')
  return cells.map(formatRow).join('\n')
}
