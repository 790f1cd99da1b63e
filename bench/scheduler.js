// Measures the CPU time, store reads and memory of 10,000 cached certificates that no handshake uses. bench.js runs it
// in a child process with --expose-gc.
import { setImmediate as nextTurn } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { rolldown } from 'rolldown'
import { makeCertificate } from './certificate.js'

const resolvePath = (/** @type {string} */ name) => fileURLToPath(new URL(name, import.meta.url))
const bundle = await rolldown({ input: resolvePath('internals.ts'), external: /^[@a-z]/, platform: 'node' })
const folder = resolvePath('../.cache/bench')
await bundle.write({ dir: folder })
/** @type {typeof import('./internals.js')} */
const { composeManager, checkManagerOptions, RenewalSchedule, requireHost } = await import(
  `${folder}/internals.js`
)

const hosts = Array.from({ length: 10_000 }, (_, index) => `h${index}.example`)
const hours = 8

/** Virtual time. Only due timers run, so the measured CPU time is that of the scheduler and its checks. */
let now = Date.now()
/** @type {Set<{ at: number, fn: () => void }>} */
const timers = new Set()
const clock = {
  now: () => now,
  after(/** @type {number} */ ms, /** @type {() => void} */ fn) {
    const timer = { at: now + ms, fn }
    timers.add(timer)
    return () => timers.delete(timer)
  },
}

let reads = 0
const values = new Map()
for (const host of hosts) {
  const { key, cert } = await makeCertificate(host)
  values.set(host, Buffer.from(key + cert))
}
const cache = {
  async get(/** @type {string} */ key) {
    reads += 1
    return values.get(key)?.subarray()
  },
  async put(/** @type {string} */ key, /** @type {Uint8Array} */ value) {
    values.set(key, value)
  },
  async delete() {},
}
const settings = checkManagerOptions({
  cache,
  hostPolicy: () => true,
  acme: { termsOfServiceAgreed: true },
  memory: { max: hosts.length },
  clock,
})
const hooks = {
  closing: new AbortController().signal,
  report: () => undefined,
  attached: [],
  isServedObserved: () => false,
  challengeTypes: () => [],
  onNewCertificate: () => undefined,
}
const issuer = {
  issue: () => Promise.reject(new Error('nothing is due')),
  renewalInfo: async () => ({}),
  close() {},
}
const { renewals } = composeManager(settings, hooks, () => /** @type {any} */ (issuer))
await renewals.keepRenewed(hosts.map(requireHost))

reads = 0
const cpuBefore = process.cpuUsage()
const end = now + hours * 3_600_000
for (;;) {
  const next = [...timers].reduce((a, b) => (b.at < a.at ? b : a))
  if (next.at > end) break
  timers.delete(next)
  now = next.at
  next.fn()
  await nextTurn()
}
const { user, system } = process.cpuUsage(cpuBefore)

/**
 * Returns the mean heap size of the values that `create` returns, in bytes.
 * @param {(index: number) => unknown} create
 */
function meanHeapBytes(create) {
  const count = 200_000
  const created = new Array(count).fill(undefined)
  globalThis.gc?.()
  const before = process.memoryUsage().heapUsed
  for (let index = 0; index < count; index++) created[index] = create(index)
  globalThis.gc?.()
  const bytes = (process.memoryUsage().heapUsed - before) / count
  // Reading the array here keeps it alive until after the measurement.
  return created.length > 0 ? bytes : Number.NaN
}
const scheduleBytes = meanHeapBytes(
  (index) =>
    new RenewalSchedule(90 * 86_400_000, { at: now + index + 0.5, source: 'lifetime' }, now + index, false),
)
const names = Array.from({ length: 200_000 }, (_, index) => `h${index}.example`)
const keptHosts = new Map()
const keptHostBytes = meanHeapBytes((index) => void keptHosts.set(names[index], now + index + 0.5))
process.send?.({
  cpuShare: (user + system) / 1e6 / (hours * 3_600),
  readsPerSecond: reads / (hours * 3_600),
  scheduleBytes,
  keptHostBytes,
})
