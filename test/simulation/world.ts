import './platform.js'
import { SimulatedCa } from './ca.js'
import { Ledger } from './ledger.js'
import { type Host, Machine, type Surroundings } from './machine.js'
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
  /** For how many hosts a machine has room; default: for all. */
  readonly memoryMax?: number
}

/** Of one host. */
export interface Orders {
  /** That led to a certificate which was not lost with its machine. */
  readonly count: number
  /** From the making of a certificate to the time when it is due, in days, on the average. */
  readonly dueAfterDays: number
}

export interface Outcome {
  /** Promises that were not kept. */
  readonly broken: readonly string[]
  readonly orders: readonly Orders[]
  /** How often what happened. */
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
    readonly longestLockMs: number
  }
  /** What there was of each event. */
  readonly events: Readonly<Record<string, number>>
}

/** Random numbers of their own for each, so that what one draws changes nothing for the others. */
const streams = { library: 0, hosts: 1, troubles: 2, ca: 3, store: 4, machines: 5 }

/**
 * Machines on one store and one CA through years of virtual time, with handshakes, outages, restarts and crashes.
 * The same seed makes the same run.
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
  const minded = new Set(
    hosts.filter(({ isKept }) => isKept || memoryMax >= hosts.length).map(({ name }) => name),
  )
  const ledger = new Ledger(time, troubles, (host) => minded.has(host))
  const ca = new SimulatedCa({ time, troubles, ledger, lifetimeMs, random: random('ca') })
  const store = new SimulatedStore({ time, troubles, ledger, random: random('store') })
  const events: Record<string, number> = {}
  const ofMachines = random('machines')
  const around: Surroundings = {
    time,
    troubles,
    ledger,
    ca,
    store,
    hosts,
    memoryMax,
    random: ofMachines,
    events,
  }
  let handshakes = 0
  let restarts = 0
  const machines: Machine[] = []
  const start = (index: number) => {
    const machine = new Machine(around, () => {
      handshakes += machine.handshakes
      restarts += 1
      start(index)
    })
    machines[index] = machine
    const stop = () => (ofMachines() < 0.5 ? machine.die() : machine.close())
    time.after((5 + ofMachines() * 25) * day, stop)
  }
  for (let index = 0; index < options.machines; index++) start(index)
  // The first certificates are ordered in peace.
  time.at(Math.max(...hosts.map(({ appears }) => appears)) + day, () => troubles.begin())
  const check = () => {
    ledger.check()
    for (const machine of machines) machine.check()
    time.after(hour, check)
  }
  check()
  const replaceByHand = () => {
    const { name } = hosts[Math.floor(ofMachines() * hosts.length)]!
    if (ledger.isAtRest(name) && !troubles.storeIsDown) store.putByHand(name, ca.orderByHand(name))
    time.after(lifetimeMs / 4, replaceByHand)
  }
  replaceByHand()
  await time.run(end, () => ledger.isHopeless)
  for (const machine of machines) handshakes += machine.handshakes
  return {
    broken: ledger.broken,
    orders: hosts.map(({ name }) => {
      const orders = ledger.of(name).filter(({ isByHand }) => !isByHand)
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
      longestLockMs: Math.round(store.leases.longestMs),
    },
    events,
  }
}

/** Half of them are kept, half of these without any handshake. */
function makeHosts(count: number, now: number, lifetimeMs: number, random: () => number): Host[] {
  return Array.from({ length: count }, (_, index) => ({
    name: `h${index}.example`,
    appears: now + (random() * lifetimeMs * 2) / 3,
    isKept: index % 2 === 0,
    hasHandshakes: index % 4 !== 0,
  }))
}
