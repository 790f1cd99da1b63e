// The server under attack: a separate process, which reports the cost of the attack to the test.
import http from 'node:http'
import https from 'node:https'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { CertManager } from 'acme-cert-cache'
import { MemoryCertCache } from 'acme-cert-cache/testing'
import { StillClock } from '../support/still-clock.js'

/**
 * @typedef {{ policy: 'list' | 'throws' | 'never' | 'slow', values: Record<string, string>, acme: object }} Settings
 * @typedef {{ start?: Settings, report?: true, answer?: boolean, jump?: number }} Task
 */

const allowed = ['allowed.example', 'other.example']
/** Stands still, so that no response depends on the duration of an attack. */
const clock = new StillClock()
const delay = monitorEventLoopDelay({ resolution: 1 })
/** Since the last report. */
let operations = /** @type {string[]} */ ([])
let events = /** @type {Record<string, number>} */ ({})
let policyCalls = 0
let warnings = 0
/** The callers that wait for a slow policy, by name. */
const waiting = /** @type {Map<string, ((verdict: boolean) => void)[]>} */ (new Map())
let mostAtOnce = 0

const count = (/** @type {string} */ name) => {
  events[name] = (events[name] ?? 0) + 1
}

class CountingStore extends MemoryCertCache {
  /** @override @type {MemoryCertCache['get']} */
  get(key, options) {
    operations.push(`get ${key}`)
    return super.get(key, options)
  }
  /** @override @type {MemoryCertCache['put']} */
  put(key, data, options) {
    operations.push(`put ${key}`)
    return super.put(key, data, options)
  }
  /** @override @type {MemoryCertCache['delete']} */
  delete(key, options) {
    operations.push(`delete ${key}`)
    return super.delete(key, options)
  }
  /** @override @type {MemoryCertCache['tryLock']} */
  tryLock(name, options) {
    operations.push(`lock ${name}`)
    return super.tryLock(name, options)
  }
}

/** @type {Record<Settings['policy'], import('acme-cert-cache').HostPolicy>} */
const policies = {
  list: allowed,
  throws(host) {
    policyCalls += 1
    if (allowed.includes(host)) return true
    throw new Error('the policy is broken')
  },
  never(host) {
    policyCalls += 1
    return allowed.includes(host) || new Promise(() => {})
  },
  slow(host) {
    policyCalls += 1
    if (allowed.includes(host)) return true
    return new Promise((resolve) => {
      const others = waiting.get(host) ?? []
      waiting.set(host, [...others, resolve])
      mostAtOnce = Math.max(mostAtOnce, others.length + 1)
    })
  },
}

process.on('warning', () => {
  warnings += 1
})
process.on('disconnect', () => process.exit())
process.on('message', async (/** @type {Task} */ task) => process.send?.(await perform(task)))
process.send?.('ready')

/** @returns {Promise<object>} */
async function perform(/** @type {Task} */ { start, answer, jump }) {
  if (start) return listen(start)
  if (jump) clock.advance(jump)
  if (answer !== undefined) {
    for (const resolve of [...waiting.values()].flat()) resolve(answer)
    waiting.clear()
  }
  return report()
}

async function listen(/** @type {Settings} */ { policy, values, acme }) {
  const cache = new CountingStore()
  for (const [key, value] of Object.entries(values)) await cache.put(key, Buffer.from(value))
  const manager = new CertManager({
    cache,
    hostPolicy: policies[policy],
    acme: { termsOfServiceAgreed: true, keyPrefix: '', ...acme },
    clock,
  })
  manager.on('refused', ({ reason }) => count(`refused ${reason}`))
  manager.on('handshakeFailed', ({ error }) => count(`handshakeFailed ${/** @type {any} */ (error).code}`))
  manager.on('storeFailed', () => count('storeFailed'))
  manager.on('issuanceFailed', () => count('issuanceFailed'))
  manager.on('challengeAnswered', ({ from }) => count(`challengeAnswered ${from}`))
  const tls = https.createServer(manager.tlsOptions(), (_req, res) => res.end('hello'))
  tls.on('tlsClientError', () => undefined)
  const plain = http.createServer(manager.httpHandler())
  const ports = [await open(tls), await open(plain)]
  delay.enable()
  return { tlsPort: ports[0], httpPort: ports[1] }
}

/** @returns {Promise<number>} */
function open(/** @type {import('node:net').Server} */ server) {
  return new Promise((resolve) => {
    server.listen({ host: '127.0.0.1', port: 0, backlog: 2_000 }, () => {
      resolve(/** @type {import('node:net').AddressInfo} */ (server.address()).port)
    })
  })
}

async function report() {
  const delayP99 = delay.percentile(99) / 1e6
  for (let times = 0; times < 3; times++) {
    // Weak references and finalizers release their memory in a later turn.
    await new Promise((resolve) => setImmediate(resolve))
    global.gc?.()
  }
  const { rss, heapUsed, external } = process.memoryUsage()
  const told = { operations, events, policyCalls, mostAtOnce, warnings, delayP99, rss, heapUsed, external }
  operations = []
  events = {}
  policyCalls = mostAtOnce = warnings = 0
  delay.reset()
  return told
}
