import { expect, test } from 'vitest'
import type { Clock } from '../../src/index.js'
import { LockingStore } from '../support/locking-store.js'
import { useManagers } from '../support/managers.js'
import { handshake } from '../support/tls.js'

const t = useManagers()
const minute = 60_000

test('machines whose clocks are all ahead by two thirds of a lifetime renew once in a quarter of it', async () => {
  const store = new LockingStore()
  t.store = store
  t.ca.lifetimeMs = 84 * minute
  const clock: Clock = {
    now: () => t.clock.now() + 57 * minute,
    after: (...timer) => t.clock.after(...timer),
  }
  const machines = [await t.machine({ clock }), await t.machine({ clock })]
  // One certificate at a time fits into the memory of this machine, so that it forgets what it has just ordered.
  machines.push(await t.machine({ clock, memory: { max: 1 } }))
  const isIdle = () => ['a.example', 'b.example'].every((host) => !store.held(host))
  for (let minutes = 0; minutes < 63; minutes += 2) {
    for (const { tlsPort } of machines)
      for (const host of ['a.example', 'b.example']) await handshake(tlsPort, host)
    // In steps below the time limit of a request, so that renewals in the background can end.
    for (let step = 0; step < 6; step++) {
      await expect.poll(isIdle).toBe(true)
      t.clock.jump(20_000)
    }
  }
  for (const host of ['a.example', 'b.example']) {
    expect(t.ca.ordersFor(host)).toBeGreaterThan(1)
    expect(t.ca.ordersFor(host)).toBeLessThanOrEqual(4)
  }
})
