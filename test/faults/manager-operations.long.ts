import { describe, expect, test } from 'vitest'
import { LockingStore } from '../support/locking-store.js'
import { useManagers } from '../support/managers.js'
import { MemoryStore } from '../support/memory-store.js'
import { handshake } from '../support/tls.js'

const t = useManagers()

/** The store refuses one operation; all others work. */
interface Refusal {
  readonly name: string
  readonly operation: 'put' | 'delete' | 'lock' | 'unlock'
  /** The keys that are refused. Default: all. */
  readonly key?: RegExp
  /** The number of orders under the fault, and whether `b.example` is served. */
  readonly orders: 0 | 1
  readonly served: boolean
  /** The CA refuses the order. */
  readonly caFails?: true
}

const refusals: readonly Refusal[] = [
  { name: 'to put anything', operation: 'put', orders: 0, served: false },
  { name: 'to put the account key', operation: 'put', key: /^acme_account/, orders: 0, served: false },
  { name: 'to put a challenge answer', operation: 'put', key: /\+token$/, orders: 1, served: false },
  { name: 'to put the certificate', operation: 'put', key: /^b\.example$/, orders: 1, served: true },
  {
    name: 'to put the failure record',
    operation: 'put',
    key: /\+failure$/,
    orders: 1,
    served: false,
    caFails: true,
  },
  { name: 'to delete', operation: 'delete', orders: 1, served: true },
  { name: 'to lock', operation: 'lock', orders: 0, served: false },
  { name: 'to unlock', operation: 'unlock', orders: 1, served: true },
]
const withoutLocks = refusals.filter(({ operation }) => operation !== 'lock' && operation !== 'unlock')

/** Starts a machine with a certificate for `a.example` in memory, and without an account key. */
async function machineOn(store: MemoryStore) {
  t.store = store
  const machine = await t.machine()
  const { serialNumber } = await handshake(machine.tlsPort, 'a.example')
  store.values.delete('acme_account+key')
  // Another machine, which has no account yet.
  const other = await t.machine()
  await handshake(other.tlsPort, 'a.example')
  return { ...other, serialNumber, ordered: t.ca.counts.orders }
}

describe.each([
  ['a store with locks', () => new LockingStore(), refusals],
  ['a store without locks', () => new MemoryStore(), withoutLocks],
])('%s that refuses', (_, makeStore, rows) => {
  test.each(rows)('$name: at most one order, and certificates in memory are served', async (refusal) => {
    const { operation, key = /./, orders, served, caFails } = refusal
    const store = makeStore()
    const { tlsPort, events, manager, serialNumber, ordered } = await machineOn(store)
    if (caFails)
      t.ca.fault({ on: 'challenge', invalid: true, type: 'unauthorized', times: Number.POSITIVE_INFINITY })
    store.before = (asked, of) => {
      if (asked === operation && key.test(of)) throw new Error('refused')
    }
    const clients = 4
    let answered = 0
    for (let round = 0; round < 3; round++) {
      const many = Array.from({ length: clients }, () => handshake(tlsPort, 'b.example'))
      const outcomes = await Promise.allSettled(many)
      answered += outcomes.filter(({ status }) => status === 'fulfilled').length
      expect(await handshake(tlsPort, 'a.example')).toMatchObject({ serialNumber })
      t.clock.jump(3_000)
    }
    expect(answered).toBe(served ? 3 * clients : 0)
    expect(t.ca.counts.orders - ordered).toBe(orders)
    expect(events.storeFailed).toContainEqual(expect.objectContaining({ operation }))

    store.before = () => {}
    t.clock.jump(7_200_000)
    if (!caFails) await handshake(tlsPort, 'b.example')
    await manager.close()
  })
})

test('each lost lock causes one more order, however many handshakes wait', async () => {
  const store = new LockingStore()
  const { tlsPort, ordered } = await machineOn(store)
  t.ca.validationDelayMs = 60_000
  const many = Array.from({ length: 10 }, () => handshake(tlsPort, 'b.example'))
  for (let lost = 0; lost < 2; lost++) {
    await expect.poll(() => store.values.has('b.example+token')).toBe(true)
    expect(t.ca.counts.orders - ordered).toBe(1 + lost)
    if (lost === 1) t.ca.validationDelayMs = 0
    store.values.delete('b.example+token')
    store.lose('b.example')
  }
  const serials = new Set((await Promise.all(many)).map(({ serialNumber }) => serialNumber))
  expect(serials.size).toBe(1)
  expect(t.ca.counts.orders - ordered).toBe(3)
})
