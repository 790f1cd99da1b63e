import { inspect } from 'node:util'
import { expect, test } from 'vitest'
import { isLocking } from '../../src/cache/cert-cache.js'
import { monitorCertCache } from '../../src/cache/monitored-cert-cache.js'
import { LockingStore } from '../support/locking-store.js'
import { MemoryStore } from '../support/memory-store.js'
import { VirtualClock } from '../support/virtual-clock.js'

const failures: { operation: string; key: string; error: Error }[] = []
const guard = <S extends MemoryStore>(store: S) => {
  failures.length = 0
  const clock = new VirtualClock()
  return { store, clock, monitored: monitorCertCache(store, clock, (failure) => failures.push(failure)) }
}

test('it locks if the store does', () => {
  expect(isLocking(guard(new MemoryStore()).monitored)).toBe(false)
  expect(isLocking(guard(new LockingStore()).monitored)).toBe(true)
})

test('what another store throws becomes a StoreError, reported once, without what it holds', async () => {
  const { store, monitored } = guard(new MemoryStore())
  store.before = () => {
    throw Object.assign(new Error('down'), { request: { authorization: 'SECRET' } })
  }
  await expect(monitored.get('a.example')).rejects.toMatchObject({
    code: 'ERR_STORE_FAILED',
    cause: { message: 'down' },
  })
  expect(failures).toMatchObject([{ operation: 'get', key: 'a.example' }])
  expect(inspect(failures, { depth: 9, showHidden: true })).not.toContain('SECRET')
})

test('an operation that never ends, ends', async () => {
  const { store, clock, monitored } = guard(new MemoryStore())
  store.before = () => new Promise(() => {})
  const ended = expect(monitored.put('a.example', Buffer.from('x'))).rejects.toMatchObject({
    code: 'ERR_STORE_TIMEOUT',
  })
  await expect.poll(() => clock.pending).toBe(1)
  clock.advance(30_000)
  await ended
})

test('a lock that is granted when nobody waits any more is given back', async () => {
  const { store, clock, monitored } = guard(new LockingStore())
  if (!isLocking(monitored)) return expect.unreachable()
  let grant = () => {}
  const tryLock = store.tryLock.bind(store)
  store.tryLock = async (name) => {
    await new Promise<void>((resolve) => {
      grant = resolve
    })
    return tryLock(name)
  }
  const ended = expect(monitored.tryLock('a.example')).rejects.toMatchObject({ code: 'ERR_STORE_TIMEOUT' })
  await expect.poll(() => clock.pending).toBe(1)
  clock.advance(30_000)
  await ended
  grant()
  await expect.poll(() => store.operations).toEqual(['lock a.example', 'unlock a.example'])
  expect(store.held('a.example')).toBe(false)
})

test('a lock that is lost is reported, one that was given back is not', async () => {
  const { store, monitored } = guard(new LockingStore())
  if (!isLocking(monitored)) return expect.unreachable()
  const lock = await monitored.tryLock('a.example')
  store.lose('a.example')
  expect(lock?.signal.aborted).toBe(true)
  expect(failures).toMatchObject([{ operation: 'lock', key: 'a.example', error: { code: 'ERR_LOCK_LOST' } }])
  const next = await monitored.tryLock('a.example')
  await next?.release()
  expect(failures).toHaveLength(1)
})
