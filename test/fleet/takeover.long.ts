// What happens to whoever holds the lock. Each waits for a real lease to end; they run beside each other.
import { afterAll, describe, test } from 'vitest'
import { type Fleet, type Machine, openFleet } from './fleet.js'

const host = 'a.fleet.example'
const open: Fleet[] = []
afterAll(async () => {
  for (const fleet of open) await fleet.close()
})
async function startFleet() {
  const fleet = await openFleet()
  open.push(fleet)
  return { fleet, holder: await fleet.machine(), other: await fleet.machine() }
}

/** Handshakes one after the other, each as long as the server lets it wait, until one is answered. */
async function untilServed({ attempt }: Machine): Promise<string> {
  for (;;) {
    const serial = await attempt(host)
    if (serial !== undefined) return serial
  }
}

const holdsPut = ({ tap }: Machine) => {
  let held = 0
  tap.fault((method, path) => {
    if (method !== 'PUT' || !path.endsWith(`/${host}`)) return undefined
    held += 1
    return 'hang'
  })
  return () => held
}

describe.concurrent('the holder of the lock', { timeout: 150_000 }, () => {
  /** Makes the first machine come to a stop at a stage; returns a condition that says it is there. */
  const stages: [string, (fleet: Fleet, holder: Machine) => () => number][] = [
    ['before the order', ({ ca }) => hits(ca.fault({ on: 'newOrder', hang: true }))],
    ['while the challenge is pending', ({ ca }) => hits(ca.fault({ on: 'challenge', hang: true }))],
    ['before finalize', ({ ca }) => hits(ca.fault({ on: 'finalize', hang: true }))],
    ['before put', (_, holder) => holdsPut(holder)],
  ]
  const hits = (fault: { readonly hits: number }) => () => fault.hits

  test.for(stages)(
    'is killed %s: another finishes within 75 s, with one more order at most',
    async ([_, stopAt], { expect }) => {
      const { fleet, holder, other } = await startFleet()
      const there = stopAt(fleet, holder)
      const lost = holder.attempt(host)
      await expect.poll(there, { timeout: 20_000 }).toBe(1)
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

  test.for(stages)(
    'is stopped %s for 90 s: it takes what another has ordered meanwhile',
    async ([_, stopAt], { expect }) => {
      const { fleet, holder, other } = await startFleet()
      const there = stopAt(fleet, holder)
      const first = holder.attempt(host)
      await expect.poll(there, { timeout: 20_000 }).toBe(1)
      holder.child.kill('SIGSTOP')
      const stopped = performance.now()
      const serial = await untilServed(other)
      // The length of the pause is what this is about.
      await expect.poll(() => performance.now() - stopped, { timeout: 90_000 }).toBeGreaterThan(90_000)
      holder.tap.fault(() => undefined)
      holder.child.kill('SIGCONT')
      await first
      // What it had in its hands before put, it serves until it has looked at the store again.
      await expect.poll(() => holder.attempt(host), { timeout: 30_000 }).toBe(serial)
      const restarted = await fleet.machine()
      expect(await restarted.attempt(host)).toBe(serial)
      expect(fleet.ca.ordersFor(host)).toBeLessThanOrEqual(2)
    },
  )

  test('is cut off from the store: it stops before finalize, another takes over, it recovers', async ({
    expect,
  }) => {
    const { fleet, holder, other } = await startFleet()
    const there = hits(fleet.ca.fault({ on: 'challenge', hang: true }))
    const first = holder.attempt(host)
    await expect.poll(there, { timeout: 20_000 }).toBe(1)
    holder.tap.fault(() => 'hang')
    const serial = await untilServed(other)
    expect(await first).toBeUndefined()
    expect(fleet.ca.issued.map(({ serialNumber }) => serialNumber)).toEqual([serial])
    await expect
      .poll(
        () => holder.events.some(({ name, code }) => name === 'storeFailed' && code === 'ERR_LOCK_LOST'),
        {
          timeout: 40_000,
        },
      )
      .toBe(true)
    holder.tap.fault(() => undefined)
    expect(await untilServed(holder)).toBe(serial)
    expect(fleet.ca.issued).toHaveLength(1)
  })
})
