import { setImmediate as turn } from 'node:timers/promises'
import { afterAll, afterEach, describe, expect, test, vi } from 'vitest'
import type { AzureBlobCertCache, CertCacheLock } from '../../src/index.js'
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

async function outcome(work: Promise<unknown>) {
  const started = performance.now()
  const result = await work.then(
    (value) => ({ value }),
    (error: unknown) => ({ error }),
  )
  cases += 1
  longestMs = Math.max(longestMs, performance.now() - started)
  return result
}

describe.each(storageFaults)('$name', (fault) => {
  const warmth = fault.fault === undefined ? ['cold'] : ['cold', 'warm']
  // A lock can only be given back by a client that could take it.
  const possible = Object.keys(operations).filter((name) => name !== 'release' || fault.fault !== undefined)
  const rows = possible.flatMap((operation) => warmth.map((state) => ({ operation, state })))

  test.each(rows)('$operation, $state', async ({ operation, state }) => {
    const container = await faultyContainer(fault)
    closers.push(container.tap.close)
    const before = await container.healthy()
    await before.put('a.example', Buffer.from('value'))
    const cache = state === 'warm' ? before : await container.cold()
    const lock = operation === 'release' ? await cache.tryLock('c.example') : undefined
    container.break()
    const result = await outcome((operations[operation] as Operation)(cache, lock))
    if (isLostRace(fault, operation)) expect(result).toEqual({ value: undefined })
    else
      expect(result).toMatchObject({ error: { name: 'StoreError', code: expect.stringMatching(fault.code) } })
    await expect.poll(() => container.tap.pending).toBe(0)
    container.mend()
    // Nothing was lost, and the same client works again. A delete without an answer may have been done.
    if (operation !== 'delete') expect(String(await before.get('a.example'))).toBe('value')
    if (container.canBreak) await cache.put('d.example', Buffer.from('after'))
  })

  test.runIf(fault.fault !== undefined)('a renewal of the lease', async () => {
    const container = await faultyContainer(fault)
    closers.push(container.tap.close)
    const cache = await container.healthy()
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
    const lock = (await cache.tryLock('c.example')) ?? expect.unreachable()
    container.tap.take()
    container.break()
    for (let seconds = 0; seconds < 26; seconds++) {
      await vi.advanceTimersByTimeAsync(1_000)
      for (let rounds = 0; rounds < 20; rounds++) await turn()
    }
    expect(container.tap.take().length).toBeGreaterThan(0)
    expect(lock.signal.aborted).toBe(true)
    expect(lock.signal.reason).toMatchObject({ code: 'ERR_LOCK_LOST' })
    cases += 1
  })
})
