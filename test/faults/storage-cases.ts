import { setImmediate as turn } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import type { AzureBlobCertCache, CertCacheLock } from '../../src/index.js'
import { watchLeftOvers } from '../support/left-over.js'
import { type FaultyContainer, faultyContainer, type StorageFault } from './storage-faults.js'
import { controlStoreTime } from './store-time.js'

/** The keys of one case. */
interface Keys {
  readonly stored: string
  readonly absent: string
  readonly lock: string
}
type Operation = (cache: AzureBlobCertCache, keys: Keys, lock: CertCacheLock | undefined) => Promise<unknown>

const operations = {
  get: (cache, { stored }) => cache.get(stored),
  put: (cache, { absent }) => cache.put(absent, Buffer.from('new')),
  delete: (cache, { stored }) => cache.delete(stored),
  tryLock: (cache, { lock }) => cache.tryLock(lock),
  release: async (_cache, _keys, lock) => lock?.release(),
  list: async (cache) => {
    for await (const _ of cache.list());
  },
} satisfies Record<string, Operation>

export type OperationName = keyof typeof operations
export const operationNames = Object.keys(operations) as OperationName[]

/** Whether another machine was first, which is not an error when a lock is acquired or released. */
const isLostRace = ({ fault }: StorageFault, operation: OperationName) =>
  typeof fault === 'object' &&
  (fault.status === 409 || fault.status === 412) &&
  fault.code !== 'ContainerBeingDeleted' &&
  (operation === 'tryLock' || operation === 'release')

/** Whether a client has a connection from before the fault. */
type ClientState = 'warm' | 'cold'

/**
 * Registers a test for each operation under this fault: it rejects with a typed error and leaves nothing behind.
 * Unhandled rejections fail the run.
 */
export function testOperations(
  fault: StorageFault,
  names: readonly OperationName[],
  states: readonly ClientState[],
): void {
  describe(fault.name, () => {
    let watch: ReturnType<typeof watchLeftOvers>
    let time: ReturnType<typeof controlStoreTime>
    let container: FaultyContainer
    let warm: AzureBlobCertCache
    beforeAll(async () => {
      watch = watchLeftOvers()
      time = controlStoreTime()
      container = await faultyContainer(fault)
      warm = await container.warm()
    })
    afterAll(async () => {
      try {
        await container.close()
        await vi.waitFor(() => expect(watch.leftOver()).toEqual([]), { timeout: 60_000 })
      } finally {
        time.close()
        watch.close()
      }
    })

    const cases = names.flatMap((operation) =>
      // A lock that is released was acquired, so there is a connection.
      (operation === 'release' ? (['warm'] as const) : states).map((state) => ({ operation, state })),
    )
    test.each(cases)('$operation, $state: rejects with a typed error, leaves nothing behind', async (row) => {
      const { operation, state } = row
      const key = (name: string) => `${name}.${operation}.${state}.example`
      const keys = { stored: key('a'), absent: key('b'), lock: key('c') }
      await warm.put(keys.stored, Buffer.from('value'))
      const cache = state === 'warm' ? warm : await container.cold()
      const lock = operation === 'release' ? await cache.tryLock(keys.lock) : undefined
      await container.break()
      const run: Operation = operations[operation]
      const result = await time.untilSettled(run(cache, keys, lock), fault, container)
      if (isLostRace(fault, operation)) expect(result).toEqual({ status: 'fulfilled', value: undefined })
      else
        expect(result).toMatchObject({
          reason: { name: 'StoreError', code: expect.stringMatching(fault.code) },
        })
      await turn()
      // A lock that was not granted is cleaned up in the background.
      if (operation !== 'tryLock') expect(time.pending + watch.timers()).toBe(0)
      await time.untilIdle(fault, container)
      await container.mend()
      // No value is lost, and the same client works again. A delete without a response may have succeeded.
      if (operation !== 'delete') expect(String(await warm.get(keys.stored))).toBe('value')
      await cache.put(key('d'), Buffer.from('after'))
    })
  })
}
