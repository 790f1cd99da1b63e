import { afterAll, describe, test } from 'vitest'
import { type Fleet, type Machine, openFleet } from './fleet.js'
import type { Place, Way } from './places.js'

const host = 'a.fleet.example'

/** Makes a machine hang at a stage of its order; the returned function returns 1 once it hangs. */
export type Stage<W extends Way> = readonly [string, (fleet: Fleet<W>, holder: Machine<W>) => () => number]

const hits = (fault: { readonly hits: number }) => () => fault.hits
export const beforeOrder: Stage<Way> = [
  'before the order',
  ({ ca }) => hits(ca.fault({ on: 'newOrder', hang: true })),
]
export const challengePending: Stage<Way> = [
  'while the challenge is pending',
  ({ ca }) => hits(ca.fault({ on: 'challenge', hang: true })),
]
export const beforeFinalize: Stage<Way> = [
  'before finalize',
  ({ ca }) => hits(ca.fault({ on: 'finalize', hang: true })),
]

/** Makes handshakes in sequence, each until the server answers or fails it, until one succeeds. */
async function untilServed({ attempt }: Pick<Machine, 'attempt'>, name = host): Promise<string> {
  for (;;) {
    const serial = await attempt(name)
    if (serial !== undefined) return serial
  }
}

/** Registers the cases of a lost lock holder. They run concurrently, since each waits for a real lease to expire. */
export function takeoverCases<W extends Way>(
  storeName: string,
  openPlace: () => Promise<Place<W>>,
  stages: { killed: readonly Stage<W>[]; stopped: readonly Stage<W>[]; cutOff: boolean },
) {
  const open: Fleet<W>[] = []
  afterAll(async () => {
    for (const fleet of open) await fleet.close()
  })
  async function startFleet() {
    const fleet = await openFleet(await openPlace())
    open.push(fleet)
    return { fleet, holder: await fleet.machine(), other: await fleet.machine() }
  }

  describe.concurrent(`the holder of the lock, on ${storeName}`, { timeout: 600_000 }, () => {
    test.for(stages.killed)(
      'is killed %s: another machine finishes within 75 s, with at most one more order',
      async ([_, stopAt], { expect }) => {
        const { fleet, holder, other } = await startFleet()
        const there = stopAt(fleet, holder)
        const lost = holder.attempt(host)
        await expect.poll(there, { timeout: 120_000 }).toBe(1)
        await holder.kill()
        const killed = performance.now()
        const serial = await untilServed(other)
        expect(performance.now() - killed).toBeLessThan(75_000)
        expect(await lost).toBeUndefined()
        expect(fleet.ca.ordersFor(host)).toBeLessThanOrEqual(2)
        expect(fleet.ca.issued.at(-1)?.serialNumber).toBe(serial)
        const restarted = await fleet.machine()
        expect(await restarted.attempt(host)).toBe(serial)
      },
    )

    test.for(stages.stopped)(
      'is stopped %s for 90 s: it adopts the certificate that another machine has ordered',
      async ([_, stopAt], { expect }) => {
        const { fleet, holder, other } = await startFleet()
        const there = stopAt(fleet, holder)
        const first = holder.attempt(host)
        await expect.poll(there, { timeout: 120_000 }).toBe(1)
        holder.child.kill('SIGSTOP')
        const stopped = performance.now()
        const serial = await untilServed(other)
        // The pause must outlast the holder's lease.
        await expect.poll(() => performance.now() - stopped, { timeout: 180_000 }).toBeGreaterThan(90_000)
        await holder.way.mend?.()
        holder.child.kill('SIGCONT')
        await first
        // A holder that stopped before put serves its own certificate until it reads the store again.
        await expect.poll(() => holder.attempt(host), { timeout: 120_000 }).toBe(serial)
        const restarted = await fleet.machine()
        expect(await restarted.attempt(host)).toBe(serial)
        expect(fleet.ca.ordersFor(host)).toBeLessThanOrEqual(2)
      },
    )

    const cutOff = 'is cut off from the store: stops before finalize, another takes over, the first recovers'
    if (stages.cutOff) {
      test(cutOff, async ({ expect }) => {
        const { fleet, holder, other } = await startFleet()
        const there = hits(fleet.ca.fault({ on: 'challenge', hang: true }))
        const first = holder.attempt(host)
        await expect.poll(there, { timeout: 120_000 }).toBe(1)
        await holder.way.cut?.()
        const serial = await untilServed(other)
        expect(await first).toBeUndefined()
        expect(fleet.ca.issued.map(({ serialNumber }) => serialNumber)).toEqual([serial])
        const lost = () =>
          holder.events.some(({ name, code }) => name === 'storeFailed' && code === 'ERR_LOCK_LOST')
        await expect.poll(lost, { timeout: 120_000 }).toBe(true)
        await holder.way.mend?.()
        expect(await untilServed(holder)).toBe(serial)
        expect(fleet.ca.issued).toHaveLength(1)
      })
    }

    test('an abandoned lock, a lock in another format and a truncated failure record block no machine', async ({
      expect,
    }) => {
      const place = await openPlace()
      const fleet = await openFleet(place)
      open.push(fleet)
      const leftovers = [
        [`${host}+lock`, ''],
        ['b.fleet.example+lock', '{"holder": "another program"}'],
        ['c.fleet.example+failure', '{"failures": 3, "retr'],
        ['acme_account+key+lock', 'x'],
      ] as const
      for (const [name, content] of leftovers) await place.store.put(name, Buffer.from(content))
      const machine = await fleet.machine()
      const started = performance.now()
      await Promise.all(
        [host, 'b.fleet.example', 'c.fleet.example'].map((name) => untilServed(machine, name)),
      )
      expect(performance.now() - started).toBeLessThan(75_000)
      expect(fleet.ca.counts).toMatchObject({ accounts: 1, orders: 3, certificates: 3 })
    })
  })
}
