import { expect, onTestFinished, test, vi } from 'vitest'
import { runOncePerFleet } from '../../src/cache/once-per-fleet.js'
import type { CacheOperationOptions } from '../../src/index.js'
import { LockingStore } from '../support/locking-store.js'
import { VirtualClock } from '../support/virtual-clock.js'

const name = 'a.example'

/** A machine on a store with locks. Its work fails the test, unless the test replaces it. */
function setup() {
  const store = new LockingStore()
  const clock = new VirtualClock()
  const controller = new AbortController()
  const find = async (): Promise<string | undefined> => undefined
  const work = async (): Promise<{ value: string }> => expect.unreachable()
  return {
    store,
    clock,
    controller,
    fleetWork: { store, name, clock, signal: controller.signal, find, work },
  }
}

test('waits 17 minutes for other machines', async () => {
  vi.spyOn(Math, 'random').mockReturnValue(0)
  onTestFinished(() => void vi.restoreAllMocks())
  const { store, clock, fleetWork } = setup()
  await store.tryLock(name)
  const started = clock.now()
  let endedAt: number | undefined
  const waiting = runOncePerFleet(fleetWork).catch((reason: unknown) => {
    endedAt = clock.now()
    return reason
  })
  while (endedAt === undefined) {
    await new Promise(setImmediate)
    if (clock.pending > 0) clock.advance(1_000)
  }
  expect(await waiting).toMatchObject({ code: 'ERR_DEADLINE' })
  expect(endedAt - started).toBe(17 * 60_000)
})

test('passes the signal to the store’s tryLock', async () => {
  const { store, controller, fleetWork } = setup()
  let seen: AbortSignal | undefined
  store.tryLock = async (_name, options?: CacheOperationOptions) => {
    seen = options?.signal
    throw new Error('down')
  }
  await expect(runOncePerFleet(fleetWork)).rejects.toThrow('down')
  expect(seen).toBe(controller.signal)
})

test('does not release a lock that was lost', async () => {
  const { store, fleetWork } = setup()
  const work = async () => {
    store.lose(name)
    return { value: 'done' }
  }
  expect(await runOncePerFleet({ ...fleetWork, work })).toBe('done')
  expect(store.take()).not.toContain(`unlock ${name}`)
})
