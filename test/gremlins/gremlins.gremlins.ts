import { setTimeout as sleep } from 'node:timers/promises'
import { expect, onTestFinished, test } from 'vitest'
import { failures } from '../fleet/cases.js'
import { type Machine, openFleet } from '../fleet/fleet.js'
import { azurePlace, dirPlace, type OpenPlace } from '../fleet/places.js'
import { handshake } from '../support/tls.js'

// Three machines under constant traffic, with certificates of 3 minutes, and gremlins: one after another, each on one
// machine. SEED repeats their order and lengths.

const durationMs = Number(process.env.GREMLINS_SECONDS ?? 600) * 1_000
const seed = Number(process.env.SEED ?? Date.now() % 2 ** 31)

const hosts = Array.from({ length: 8 }, (_, index) => `h${index}.fleet.example`)
const lifetimeMs = 180_000
/** A certificate is renewed at two thirds of its lifetime. */
const renewEveryMs = (lifetimeMs * 2) / 3
/** How long a machine counts as disturbed after its gremlin has gone: a breaker may be open for 15 s. */
const recoveryMs = 20_000

/** Returns numbers from 0 up to 1 that depend on the seed alone (mulberry32). */
function randomFrom(start: number) {
  let state = start
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** One place of the fleet. A machine that is killed is replaced there. */
interface Seat {
  readonly name: string
  machine: Machine
  /** No handshake that begins before this time counts. Monotonic milliseconds. */
  disturbedUntil: number
}

interface Gremlin {
  readonly name: string
  begin(seat: Seat): unknown
  end(seat: Seat): unknown
}

const troubled = (name: string, trouble: object): Gremlin => ({
  name,
  begin: ({ machine }) => machine.trouble(trouble),
  end: ({ machine }) =>
    machine.trouble({ clockShiftMs: -('clockShiftMs' in trouble ? Number(trouble.clockShiftMs) : 0) }),
})

const now = () => performance.now()

async function gremlinsOn(storeName: string, openPlace: OpenPlace) {
  const fleet = await openFleet(await openPlace(), { lifetimeMs })
  onTestFinished(() => fleet.close())
  const startMachine = () => fleet.machine({ descriptors: 300 })
  const seats: Seat[] = []
  for (const name of ['one', 'two', 'three'])
    seats.push({ name, machine: await startMachine(), disturbedUntil: 0 })

  const gremlins: readonly Gremlin[] = [
    {
      name: 'SIGSTOP',
      begin: ({ machine }) => machine.child.kill('SIGSTOP'),
      end: ({ machine }) => machine.child.kill('SIGCONT'),
    },
    {
      name: 'kill -9',
      begin: ({ machine }) => machine.kill(),
      async end(seat) {
        seat.machine = await startMachine()
      },
    },
    troubled('clock 40 s ahead', { clockShiftMs: 40_000 }),
    troubled('clock 40 s behind', { clockShiftMs: -40_000 }),
    troubled('no descriptors', { hasDescriptors: false }),
    troubled('read-only store', { isReadOnly: true }),
    troubled('no egress', { hasEgress: false }),
  ]

  const startedAt = now()
  const isOver = () => now() - startedAt >= durationMs
  const failed: string[] = []
  let handshakes = 0

  /** Makes handshakes at one seat, host after host. */
  async function traffic(seat: Seat) {
    for (let index = 0; !isOver(); index++) {
      const host = hosts[index % hosts.length] as string
      const beganAt = now()
      const { machine } = seat
      const error = await handshake(machine.port, host).then(
        () => undefined,
        (thrown: Error) => thrown,
      )
      handshakes += 1
      const isUndisturbed = beganAt >= seat.disturbedUntil && seat.machine === machine
      if (error && isUndisturbed && now() >= seat.disturbedUntil) {
        const reasons = failures(machine, 'handshakeFailed').map(({ code }) => code)
        failed.push(`${host} at ${seat.name}: ${error.message} (${reasons.at(-1)})`)
      }
      await sleep(50)
    }
  }

  async function mischief() {
    const random = randomFrom(seed)
    const pick = <T>(list: readonly T[]) => list[Math.floor(random() * list.length)] as T
    while (!isOver()) {
      const seat = pick(seats)
      const gremlin = pick(gremlins)
      const lengthMs = 5_000 + Math.floor(random() * 15_000)
      const restMs = Math.floor(random() * 10_000)
      // A load balancer would send the CA to a machine that answers.
      const healthy =
        seats.find((other) => other !== seat && other.disturbedUntil < now()) ??
        seats.find((other) => other !== seat)
      fleet.gate.target = healthy?.machine.port
      console.log(
        `${Math.round((now() - startedAt) / 1_000)} s: ${gremlin.name} at ${seat.name} for ${lengthMs} ms`,
      )
      seat.disturbedUntil = Number.POSITIVE_INFINITY
      await gremlin.begin(seat)
      await sleep(lengthMs)
      await gremlin.end(seat)
      seat.disturbedUntil = now() + recoveryMs
      await sleep(restMs)
    }
  }

  console.log(`${storeName}: SEED=${seed}, ${durationMs / 1_000} s`)
  await Promise.all([mischief(), ...seats.map(traffic)])
  const elapsedMs = now() - startedAt
  const due = hosts.length * (1 + elapsedMs / renewEveryMs)
  const { certificates, orders } = fleet.ca.counts
  console.log(
    `${storeName}: ${handshakes} handshakes, ${failed.length} failed at undisturbed machines, ` +
      `${certificates} certificates of ${orders} orders, ${due.toFixed(1)} due: ${(certificates / due).toFixed(2)}`,
  )
  expect(failed).toEqual([])
  expect(certificates).toBeLessThanOrEqual(1.2 * due)
  for (const { machine } of seats)
    expect([machine.child.exitCode, machine.child.signalCode]).toEqual([null, null])
}

test.each<[string, OpenPlace]>([
  ['Azurite', () => azurePlace()],
  ['a folder', dirPlace],
])(
  'gremlins on %s: no failed handshake at undisturbed machines, certificates at most 1.2 of those due',
  gremlinsOn,
)
