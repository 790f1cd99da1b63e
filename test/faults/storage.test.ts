import { setImmediate as turn } from 'node:timers/promises'
import { afterAll, afterEach, describe, expect, test, vi } from 'vitest'
import type { AzureBlobCertCache, CertCacheLock } from '../../src/index.js'
import { watchLeftOvers } from '../support/left-over.js'
import { faultyContainer, type StorageFault, storageFaults } from './storage-faults.js'

// Every fault, on every operation, with a connection that was there before and without one: a typed error in time,
// and nothing left over. Rejections that nobody handles fail the run.

const closers: (() => Promise<void>)[] = []
afterEach(async () => {
  vi.useRealTimers()
  for (const close of closers.splice(0)) await close()
})
let longestMs = 0
let cases = 0
afterAll(() => console.log(`${cases} faults of the store; longest wait ${Math.round(longestMs)} ms`))

type Operation = (cache: AzureBlobCertCache, lock: CertCacheLock | undefined) => Promise<unknown>

const operations: Record<string, Operation> = {
  get: (cache) => cache.get('a.example'),
  put: (cache) => cache.put('b.example', Buffer.from('new')),
  delete: (cache) => cache.delete('a.example'),
  tryLock: (cache) => cache.tryLock('c.example'),
  release: async (_, lock) => lock?.release(),
  list: async (cache) => {
    for await (const _ of cache.list());
  },
}

/** Somebody else was first: no error where a lock is taken or given back. */
const isLostRace = ({ fault }: StorageFault, operation: string) =>
  typeof fault === 'object' &&
  (fault.status === 409 || fault.status === 412) &&
  (operation === 'tryLock' || operation === 'release')

/** By what a busy machine may take longer than the time-out that the contract promises. */
const toleranceMs = 2_500

async function outcome(work: Promise<unknown>, timeoutMs: number) {
  const started = performance.now()
  const result = await work.then(
    (value) => ({ value }),
    (error: unknown) => ({ error }),
  )
  cases += 1
  const tookMs = performance.now() - started
  longestMs = Math.max(longestMs, tookMs)
  expect(tookMs).toBeLessThan(timeoutMs + toleranceMs)
  return result
}

describe.each(storageFaults)('$name', (fault) => {
  // A lock that is given back was taken, so there is a connection.
  const rows = Object.keys(operations).flatMap((operation) =>
    (operation === 'release' ? ['warm'] : ['cold', 'warm']).map((state) => ({ operation, state })),
  )

  test.each(rows)('$operation, $state', async ({ operation, state }) => {
    const watch = watchLeftOvers()
    closers.push(async () => watch.close())
    const container = await faultyContainer(fault)
    closers.push(container.close)
    const warm = await container.warm()
    await warm.put('a.example', Buffer.from('value'))
    const cache = state === 'warm' ? warm : await container.cold()
    const lock = operation === 'release' ? await cache.tryLock('c.example') : undefined
    await container.break()
    const result = await outcome((operations[operation] as Operation)(cache, lock), container.timeoutMs)
    if (isLostRace(fault, operation)) expect(result).toEqual({ value: undefined })
    else
      expect(result).toMatchObject({ error: { name: 'StoreError', code: expect.stringMatching(fault.code) } })
    await turn()
    // What a lock that was not granted leaves behind is removed in the background.
    if (operation !== 'tryLock') expect(watch.timers()).toBe(0)
    await expect.poll(() => container.tap.pending).toBe(0)
    await container.mend()
    // Nothing was lost, and the same client works again. A delete without an answer may have been done.
    if (operation !== 'delete') expect(String(await warm.get('a.example'))).toBe('value')
    await cache.put('d.example', Buffer.from('after'))
    await container.close()
    await expect.poll(() => watch.leftOver()).toEqual([])
  })

  test('a renewal of the lease', async () => {
    const container = await faultyContainer(fault)
    closers.push(container.close)
    const cache = await container.warm()
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
    const lock = (await cache.tryLock('c.example')) ?? expect.unreachable()
    await container.break()
    for (let seconds = 0; seconds < 26; seconds++) {
      await vi.advanceTimersByTimeAsync(1_000)
      for (let rounds = 0; rounds < 20; rounds++) await turn()
    }
    expect(lock.signal.aborted).toBe(true)
    expect(lock.signal.reason).toMatchObject({ code: 'ERR_LOCK_LOST' })
    expect(vi.getTimerCount()).toBe(0)
    cases += 1
  })
})
