import assert from 'node:assert/strict'
import type { CertCacheLock, LockingCertCache } from '../../cache/cert-cache.js'
import { asLocking, assertStored, bytes, cutOff, outcomeOf, pause } from './assertions.js'
import type { Check } from './types.js'

const name = 'a.example'
/** The lock of a holder that dies expires within a minute. */
const maxExpiryMs = 60_000

async function acquire(store: LockingCertCache, when: string): Promise<CertCacheLock> {
  const lock = await store.tryLock(name)
  assert.ok(lock !== undefined, `tryLock must acquire a free lock: ${when}`)
  assert.equal(lock.signal.aborted, false, 'the signal of a new lock must not be aborted')
  return lock
}

async function assertHeld(store: LockingCertCache, when: string): Promise<void> {
  const lock = await store.tryLock(name)
  assert.equal(lock, undefined, `tryLock must return undefined while another holder has the lock: ${when}`)
}

/** Tries until the lock is free, as other machines do. */
async function acquireWhenFree(store: LockingCertCache, intervalMs: number): Promise<CertCacheLock> {
  for (;;) {
    const lock = await store.tryLock(name)
    if (lock) return lock
    await pause(intervalMs)
  }
}

export const lockChecks: readonly Check[] = [
  {
    name: 'a lock is exclusive until it is released, on the same handle and on others',
    async run(place) {
      const [store, other] = [asLocking(place.store), asLocking(await place.peer())]
      const lock = await acquire(store, 'the store is empty')
      await assertHeld(other, 'on another handle')
      await assertHeld(store, 'on the same handle')
      const another = await other.tryLock('b.example')
      assert.ok(another, 'a lock with another name must be free')
      await another.release()
      await assertHeld(other, 'a lock with another name was released')
      await lock.release()
      const next = await acquire(other, 'it was released')
      await assertHeld(store, 'on the handle of its former holder')
      await next.release()
    },
  },
  {
    name: 'exactly one of many concurrent tryLock calls acquires the lock',
    async run(place) {
      const [store, other] = [asLocking(place.store), asLocking(await place.peer())]
      for (let round = 1; round <= 5; round++) {
        const tries = Array.from({ length: 20 }, (_, index) => (index % 2 ? store : other).tryLock(name))
        const locks = (await Promise.all(tries)).filter((lock) => lock !== undefined)
        assert.equal(
          locks.length,
          1,
          `exactly one of 20 concurrent tryLock calls must acquire the lock, in round ${round}`,
        )
        await locks[0]?.release()
      }
    },
  },
  {
    name: 'work under the lock never overlaps',
    async run(place) {
      const { store } = place
      const handles = [asLocking(store), asLocking(await place.peer()), asLocking(await place.peer())]
      const rounds = 4
      await store.put('counter', bytes('0'))
      const increment = async (handle: LockingCertCache) => {
        for (let round = 0; round < rounds; round++) {
          const lock = await acquireWhenFree(handle, 20)
          const counter = Number(Buffer.from((await handle.get('counter')) ?? []).toString())
          await handle.put('counter', bytes(String(counter + 1)))
          await lock.release()
        }
      }
      await Promise.all(handles.map(increment))
      const expected = bytes(String(rounds * handles.length))
      await assertStored(store, 'counter', expected, 'after increments under the lock')
    },
  },
  {
    name: 'only the holder can release a lock, and a second release has no effect',
    async run(place) {
      const [store, other] = [asLocking(place.store), asLocking(await place.peer())]
      const former = await acquire(store, 'the store is empty')
      await former.release()
      await former.release()
      const holder = await acquire(other, 'it was released')
      await former.release()
      await assertHeld(store, 'a former holder released its lock again')
      assert.equal(
        holder.signal.aborted,
        false,
        'the release of a former holder must not abort the signal of the next holder',
      )
      await holder.release()
      const next = await acquire(store, 'it was released')
      await Promise.all([next.release(), next.release()])
      await (await acquire(other, 'it was released twice concurrently')).release()
    },
  },
  {
    name: 'a lock and a value with the same name do not affect each other',
    async run(place) {
      const [store, other] = [asLocking(place.store), asLocking(await place.peer())]
      const lock = await acquire(store, 'the store is empty')
      await assertStored(other, name, undefined, 'while the lock with that name is held')
      await other.put(name, bytes('value'))
      await assertStored(store, name, bytes('value'), 'while the lock with that name is held')
      await assertHeld(other, 'the value with that name was written')
      await lock.release()
      await assertStored(store, name, bytes('value'), 'after release of the lock with that name')
      const next = await acquire(store, 'the value with that name exists')
      await other.delete(name)
      await assertHeld(other, 'the value with that name was deleted')
      await next.release()
      await assertStored(other, name, undefined, 'after release of the lock with that name')
    },
  },
  {
    name: 'every key is a valid name of a lock',
    async run(place) {
      const store = asLocking(place.store)
      const names = [
        'CON',
        '..a',
        'a.',
        'a ',
        ' ',
        '%2F',
        "a'b",
        'A.example',
        'a.example',
        '__proto__',
        'a+b',
        '-rf',
      ]
      const locks: (CertCacheLock | undefined)[] = []
      for (const key of names) locks.push(await store.tryLock(key))
      const acquired = names.filter((_, index) => locks[index])
      assert.deepEqual(acquired, names, 'locks with different names must not exclude each other')
      for (const lock of locks) await lock?.release()
    },
  },
  {
    name: 'an aborted tryLock blocks the lock for less than a minute',
    slow: true,
    async run(place) {
      const [store, other] = [asLocking(place.store), asLocking(await place.peer())]
      for (const turns of [0, 1, 3, 9]) {
        const controller = new AbortController()
        const reason = new Error('the caller has gone')
        const pending = outcomeOf(() => store.tryLock(name, { signal: controller.signal }))
        for (let turn = 0; turn < turns; turn++) await new Promise(setImmediate)
        controller.abort(reason)
        const outcome = await pending
        if ('value' in outcome) await outcome.value?.release()
        else
          assert.equal(outcome.error, reason, 'an aborted tryLock must reject with the reason of its signal')
      }
      const start = performance.now()
      const lock = await acquireWhenFree(other, 250)
      assert.ok(
        performance.now() - start < maxExpiryMs,
        'a lock that no caller received must be free within a minute',
      )
      await lock.release()
    },
  },
  {
    name: 'a lock stays held for more than a minute while its holder is alive',
    slow: true,
    async run(place) {
      const [store, other] = [asLocking(place.store), asLocking(await place.peer())]
      const lock = await acquire(store, 'the store is empty')
      const { signal } = lock
      const end = performance.now() + maxExpiryMs + 10_000
      while (performance.now() < end) {
        await assertHeld(other, 'its holder is alive')
        assert.equal(lock.signal.aborted, false, 'the signal must not abort while the lock is held')
        await pause(1_000)
      }
      assert.equal(
        signal.aborted,
        false,
        'a signal that was read earlier must not abort while the lock is held',
      )
      await lock.release()
      await (await acquire(other, 'it was released')).release()
    },
  },
]

/** Longer than the renewal interval of a lock that expires after 30 s. */
const watchMs = 12_000

/** The cases that cut off the holder of a lock. */
export const lostLockChecks: readonly Check[] = [
  {
    name: 'after cutOff, another machine acquires the lock within a minute, and only after the signal of the holder aborts',
    slow: true,
    async run(place) {
      const [store, other, third] = [
        asLocking(place.store),
        asLocking(await place.peer()),
        asLocking(await place.peer()),
      ]
      const lost = await acquire(store, 'the store is empty')
      const { signal } = lost
      const otherLock = await store.tryLock('b.example')
      await cutOff(place)
      const start = performance.now()
      const holder = await acquireWhenFree(other, 500)
      // Read before anything else: both holders could now work at the same time.
      const wasNotified = signal.aborted && lost.signal.aborted
      assert.ok(
        performance.now() - start < maxExpiryMs,
        'a lock must be free within a minute after its holder was cut off',
      )
      assert.ok(
        wasNotified,
        'the signal of the former holder must abort before another holder acquires the lock',
      )
      assert.ok(signal.reason instanceof Error, 'the reason of the signal must be an Error')
      const assertUndisturbed = async (when: string) => {
        await assertHeld(third, when)
        assert.equal(holder.signal.aborted, false, `the signal of the new holder must not abort: ${when}`)
      }
      // A release without connection may reject, but must not hang.
      await outcomeOf(async () => otherLock?.release())
      await assertUndisturbed('it was taken over from a holder that was cut off')
      if (place.mend) {
        await place.mend()
        // A former holder that still renews would take the lock back.
        for (const end = performance.now() + watchMs; performance.now() < end; await pause(1_000))
          await assertUndisturbed('its former holder reaches the place again')
        await outcomeOf(() => lost.release())
        await assertUndisturbed('its former holder released it')
      }
      await holder.release()
      await (await acquire(third, 'the new holder released it')).release()
    },
  },
]
