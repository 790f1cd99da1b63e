import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { holdLease } from '../../../src/cache/leases/lease.js'
import { LeaseWatch } from '../../../src/cache/leases/lease-watch.js'
import { StoreError } from '../../../src/index.js'
import { createLease } from '../../../src/stores/s3/lock.js'
import type { S3Objects, WriteCondition } from '../../../src/stores/s3/objects.js'

// These tests use a stub of the service, and virtual time.
beforeEach(() => {
  vi.useFakeTimers()
})
afterEach(() => {
  vi.useRealTimers()
})

const key = 'a.example+lock'
const pass = (ms: number) => vi.advanceTimersByTimeAsync(ms)
const busy = () => new StoreError('ERR_STORE_FAILED', 'busy', { statusCode: 503 })

/** A service that honours conditions. */
function openService() {
  const objects = new Map<string, { text: string; etag: string }>()
  let etags = 0
  let writes = 0
  /** Faults of the next writes: the response is lost, the write fails, or the SDK repeats the write. */
  const faults: ('answer lost' | 'not done' | 'repeated')[] = []
  const write = (at: string, text: string, condition: WriteCondition) => {
    const there = objects.get(at)
    const holds = 'IfMatch' in condition ? there?.etag === condition.IfMatch : !there
    if (!holds) return undefined
    etags += 1
    objects.set(at, { text, etag: `"${etags}"` })
    return `"${etags}"`
  }
  const stub: Pick<S3Objects, 'read' | 'writeIf'> = {
    async read(at) {
      const object = objects.get(at)
      return object && { data: Buffer.from(object.text), etag: object.etag }
    },
    async writeIf(at, text, condition) {
      writes += 1
      const fault = faults.shift()
      if (fault === 'not done') throw busy()
      const etag = write(at, text, condition)
      if (fault === 'answer lost') throw busy()
      // The SDK retries when the first response is lost.
      return fault === 'repeated' ? write(at, text, condition) : etag
    },
  }
  return {
    objects,
    faults,
    writes: () => writes,
    overwrite: (at: string, text: string) => objects.set(at, { text, etag: `"${text}"` }),
    machine() {
      const watch = new LeaseWatch()
      return { tryLock: (name: string) => holdLease(name, createLease(stub as S3Objects, name, watch)) }
    },
  }
}

type Machine = ReturnType<ReturnType<typeof openService>['machine']>

const held = async (locks: Machine, name = 'a.example') =>
  (await locks.tryLock(name)) ?? expect.unreachable('it should have got the lock')

test('a lock is renewed every 10 s, and no other machine can acquire it', async () => {
  const { machine, writes } = openService()
  const lock = await held(machine())
  const other = machine()
  for (let times = 1; times <= 12; times++) {
    await pass(10_000)
    expect(writes()).toBe(1 + times)
    expect(await other.tryLock('a.example')).toBeUndefined()
  }
  expect(lock.signal.aborted).toBe(false)
  await lock.release()
  await pass(60_000)
  expect(writes()).toBe(14)
  await (await held(other)).release()
})

test('a dead holder’s lock is taken over 30 s after it was first seen, not earlier', async () => {
  const { machine, overwrite, objects } = openService()
  overwrite(key, 'a holder that died')
  const locks = machine()
  expect(await locks.tryLock('a.example')).toBeUndefined()
  await pass(29_999)
  expect(await locks.tryLock('a.example')).toBeUndefined()
  // A new machine sees the lock for the first time.
  const fresh = machine()
  expect(await fresh.tryLock('a.example')).toBeUndefined()
  await pass(1)
  expect(await fresh.tryLock('a.example')).toBeUndefined()
  const lock = await held(locks)
  expect(objects.get(key)?.text).not.toContain('died')
  await lock.release()
})

test('every change of a lock restarts the 30 s', async () => {
  const { machine, overwrite } = openService()
  const locks = machine()
  for (const text of ['one', 'two', 'three']) {
    overwrite(key, text)
    expect(await locks.tryLock('a.example')).toBeUndefined()
    await pass(20_000)
  }
  await pass(10_000)
  await (await held(locks)).release()
})

test('one of two machines that saw a dead holder’s lock for 30 s acquires it', async () => {
  const { machine, overwrite } = openService()
  overwrite(key, 'a holder that died')
  const machines = [machine(), machine()]
  for (const locks of machines) await locks.tryLock('a.example')
  await pass(30_000)
  const locks = await Promise.all(machines.map((each) => each.tryLock('a.example')))
  expect(locks.filter(Boolean)).toHaveLength(1)
})

test('a machine remembers at most 1,000 names', async () => {
  const { machine, overwrite } = openService()
  const locks = machine()
  const names = Array.from({ length: 1_001 }, (_, at) => `host-${at}`)
  for (const name of names) {
    overwrite(`${name}+lock`, 'a holder that died')
    await locks.tryLock(name)
  }
  await pass(30_000)
  await (await held(locks, 'host-1')).release()
  await (await held(locks, 'host-1000')).release()
  expect(await locks.tryLock('host-0')).toBeUndefined()
  await pass(30_000)
  await (await held(locks, 'host-0')).release()
})

test('the next renewal of a stolen lock aborts its signal; its release does not release the thief’s lock', async () => {
  const { machine, objects, overwrite } = openService()
  const lock = await held(machine())
  overwrite(key, 'a thief')
  await pass(10_000)
  expect(lock.signal.aborted).toBe(true)
  expect(lock.signal.reason).toMatchObject({ code: 'ERR_LOCK_LOST' })
  await lock.release()
  expect(objects.get(key)?.text).toBe('a thief')
})

test('a lock whose object was deleted is lost', async () => {
  const { machine, objects } = openService()
  const lock = await held(machine())
  objects.delete(key)
  await pass(10_000)
  expect(lock.signal.aborted).toBe(true)
  await lock.release()
  expect(objects.size).toBe(0)
})

test('a lock is lost 25 s after its last successful renewal', async () => {
  const { machine, faults } = openService()
  const lock = await held(machine())
  faults.push(...Array(20).fill('not done'))
  await pass(24_999)
  expect(lock.signal.aborted).toBe(false)
  await pass(1)
  expect(lock.signal.aborted).toBe(true)
})

test('the next renewal detects that a renewal whose response was lost succeeded', async () => {
  const { machine, faults } = openService()
  const lock = await held(machine())
  faults.push('answer lost')
  await pass(12_000)
  expect(lock.signal.aborted).toBe(false)
  faults.push('repeated')
  await pass(60_000)
  expect(lock.signal.aborted).toBe(false)
  faults.push('answer lost')
  await pass(10_000)
  await lock.release()
  await (await held(machine())).release()
})

test('tryLock recognises its own lock when the SDK repeats a write whose response was lost', async () => {
  const { machine, faults, overwrite } = openService()
  faults.push('repeated')
  const lock = await held(machine())
  await pass(60_000)
  expect(lock.signal.aborted).toBe(false)
  await lock.release()
  overwrite(key, 'released')
  faults.push('repeated')
  await (await held(machine())).release()
})

test('a lock that was granted although its request failed is released', async () => {
  const { machine, faults, objects } = openService()
  faults.push('answer lost')
  await expect(machine().tryLock('a.example')).rejects.toThrow('busy')
  await pass(0)
  expect(objects.get(key)?.text).toBe('released')
  await (await held(machine())).release()
})

test('a late or repeated release does not release the next holder’s lock', async () => {
  const { machine, objects } = openService()
  const former = await held(machine())
  await former.release()
  const lock = await held(machine())
  const there = objects.get(key)
  await former.release()
  expect(objects.get(key)).toEqual(there)
  await lock.release()
})
