import './platform.js'
import { requireHost } from '../../src/certificates/hostname.js'
import { SimulatedCa } from './ca.js'
import { Ledger } from './ledger.js'
import { type Environment, type Host, Machine } from './machine.js'
import { seededRandom } from './random.js'
import { SimulatedStore } from './store.js'
import { Timeline } from './timeline.js'
import { Troubles } from './troubles.js'
import { day, hour } from './units.js'

export interface WorldOptions {
  readonly seed: number
  readonly days: number
  readonly hosts: number
  readonly machines: number
  readonly lifetimeDays: number
  /** The number of hosts in a machine's memory. Default: all. */
  readonly memoryMax?: number
}

/** The orders of one host. */
export interface Orders {
  /** Orders whose certificate was not lost with its machine. */
  readonly count: number
  /** The average number of days from issuance to the due date. */
  readonly dueAfterDays: number
}

export interface Outcome {
  /** Violated guarantees. */
  readonly violations: readonly string[]
  readonly orders: readonly Orders[]
  readonly counts: {
    readonly handshakes: number
    readonly outagesOfCa: number
    readonly outagesOfStore: number
    readonly restarts: number
    readonly deathsInOrders: number
    readonly failedPuts: number
    readonly lostCertificates: number
    readonly locksTakenOver: number
    readonly locksRefused: number
    readonly locksLost: number
    readonly maxLockMs: number
  }
  /** How many times each event was reported. */
  readonly events: Readonly<Record<string, number>>
}

/** Each part draws from its own random stream, and so does not affect the others. */
const streams = { library: 0, hosts: 1, troubles: 2, ca: 3, store: 4, machines: 5 }

/**
 * Runs machines on one store and one CA through virtual time, with handshakes, outages, restarts and crashes.
 * The same seed produces the same run.
 */
export async function simulate(options: WorldOptions): Promise<Outcome> {
  const { random: unseeded } = Math
  Math.random = seededRandom(options.seed, streams.library)
  try {
    return await run(options)
  } finally {
    Math.random = unseeded
  }
}

async function run(options: WorldOptions): Promise<Outcome> {
  const lifetimeMs = options.lifetimeDays * day
  const random = (stream: keyof typeof streams) => seededRandom(options.seed, streams[stream])
  const time = new Timeline()
  const end = time.now + options.days * day
  const troubles = new Troubles(time, lifetimeMs, random('troubles'))
  const hosts = makeHosts(options.hosts, time.now, lifetimeMs, random('hosts'))
  const memoryMax = options.memoryMax ?? hosts.length
  const watched = new Set<string>(
    hosts.filter(({ isKept }) => isKept || memoryMax >= hosts.length).map(({ name }) => name),
  )
  const ledger = new Ledger(time, troubles, (host) => watched.has(host))
  const ca = new SimulatedCa({ time, troubles, ledger, lifetimeMs, random: random('ca') })
  const store = new SimulatedStore({ time, troubles, ledger, random: random('store') })
  const events: Record<string, number> = {}
  const machineRandom = random('machines')
  const environment: Environment = {
    time,
    troubles,
    ledger,
    ca,
    store,
    hosts,
    memoryMax,
    random: machineRandom,
    events,
  }
  let handshakes = 0
  let restarts = 0
  const machines: Machine[] = []
  const start = (index: number) => {
    const machine = new Machine(environment, () => {
      handshakes += machine.handshakes
      restarts += 1
      start(index)
    })
    machines[index] = machine
    const stop = () => (machineRandom() < 0.5 ? machine.die() : machine.close())
    time.after((5 + machineRandom() * 25) * day, stop)
  }
  for (let index = 0; index < options.machines; index++) start(index)
  // No outage before every host has a certificate.
  time.at(Math.max(...hosts.map(({ appears }) => appears)) + day, () => troubles.begin())
  const check = () => {
    ledger.check()
    for (const machine of machines) machine.check()
    time.after(hour, check)
  }
  check()
  const replaceManually = () => {
    const { name } = hosts[Math.floor(machineRandom() * hosts.length)]!
    if (ledger.isAtRest(name) && !troubles.storeIsDown) store.putManually(name, ca.orderManually(name))
    time.after(lifetimeMs / 4, replaceManually)
  }
  replaceManually()
  await time.run(end, () => ledger.isFull)
  for (const machine of machines) handshakes += machine.handshakes
  return {
    violations: ledger.violations,
    orders: hosts.map(({ name }) => {
      const orders = ledger.of(name).filter(({ isManual }) => !isManual)
      const sum = orders.reduce((total, { due, notBefore }) => total + due.start - notBefore, 0)
      return { count: orders.length, dueAfterDays: sum / orders.length / day }
    }),
    counts: {
      handshakes,
      outagesOfCa: troubles.count('ca'),
      outagesOfStore: troubles.count('store'),
      restarts,
      deathsInOrders: ca.deaths,
      failedPuts: store.failedPuts,
      lostCertificates: ledger.lost,
      locksTakenOver: store.leases.takenOver,
      locksRefused: store.leases.refused,
      locksLost: store.leases.lost,
      maxLockMs: Math.round(store.leases.maxHeldMs),
    },
    events,
  }
}

/** Half of the hosts are kept, and half of these get no handshakes. */
function makeHosts(count: number, now: number, lifetimeMs: number, random: () => number): Host[] {
  return Array.from({ length: count }, (_, index) => ({
    name: requireHost(`h${index}.example`),
    appears: now + (random() * lifetimeMs * 2) / 3,
    isKept: index % 2 === 0,
    hasHandshakes: index % 4 !== 0,
  }))
}
