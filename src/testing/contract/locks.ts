import assert from 'node:assert/strict'
import type { CertCacheLock, LockingCertCache } from '../../cache/cert-cache.js'
import { asLocking, assertStored, bytes, cutOff, outcomeOf, pause } from './assertions.js'
import type { Check } from './types.js'

const name = 'a.example'
/** The lock of a holder that dies expires within a minute. */
const maxExpiryMs = 60_000

async function acquire(store: LockingCertCache, when: string): Promise<CertCacheLock> {
  const lock = await store.tryLock(name)
  assert.ok(lock !== undefined, `tryLock must give a lock that nobody holds: ${when}`)
  assert.equal(lock.signal.aborted, false, 'the signal of a lock that was just given must not be aborted')
  return lock
}

async function assertHeld(store: LockingCertCache, when: string): Promise<void> {
  const lock = await store.tryLock(name)
  assert.equal(
    lock,
    undefined,
    `tryLock must resolve with undefined while somebody else holds the lock: ${when}`,
  )
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
    name: 'a lock is exclusive, between two handles and on one, until it is released',
    async run(place) {
      const [store, other] = [asLocking(place.store), asLocking(await place.peer())]
      const lock = await acquire(store, 'the store is empty')
      await assertHeld(other, 'on another handle')
      await assertHeld(store, 'on the same handle')
      const another = await other.tryLock('b.example')
      assert.ok(another, 'the lock of another name must not be held')
      await another.release()
      await assertHeld(other, 'the lock of another name was released')
      await lock.release()
      const next = await acquire(other, 'it was released')
      await assertHeld(store, 'its former holder asks')
      await next.release()
    },
  },
  {
    name: 'of many tries at once one gets the lock',
    async run(place) {
      const [store, other] = [asLocking(place.store), asLocking(await place.peer())]
      for (let round = 1; round <= 5; round++) {
        const tries = Array.from({ length: 20 }, (_, index) => (index % 2 ? store : other).tryLock(name))
        const locks = (await Promise.all(tries)).filter((lock) => lock !== undefined)
        assert.equal(locks.length, 1, `of 20 tries at once one must get the lock, in round ${round}`)
        await locks[0]?.release()
      }
    },
  },
  {
    name: 'what is done under the lock is done by one after the other',
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
    name: 'a lock is released by its owner only; releasing it again is harmless',
    async run(place) {
      const [store, other] = [asLocking(place.store), asLocking(await place.peer())]
      const former = await acquire(store, 'the store is empty')
      await former.release()
      await former.release()
      const holder = await acquire(other, 'it was released')
      await former.release()
      await assertHeld(store, 'a former holder released once more')
      assert.equal(holder.signal.aborted, false, 'a former holder’s release must not disturb the next holder')
      await holder.release()
      const next = await acquire(store, 'it was released')
      await Promise.all([next.release(), next.release()])
      await (await acquire(other, 'it was released twice at once')).release()
    },
  },
  {
    name: 'the lock of a key disturbs nothing that is stored under that key, nor the other way round',
    async run(place) {
      const [store, other] = [asLocking(place.store), asLocking(await place.peer())]
      const lock = await acquire(store, 'the store is empty')
      await assertStored(other, name, undefined, 'while the lock of that name is held')
      await other.put(name, bytes('value'))
      await assertStored(store, name, bytes('value'), 'while the lock of that name is held')
      await assertHeld(other, 'the value of that name was written')
      await lock.release()
      await assertStored(store, name, bytes('value'), 'after the lock of that name was released')
      const next = await acquire(store, 'the value of that name is there')
      await other.delete(name)
      await assertHeld(other, 'the value of that name was deleted')
      await next.release()
      await assertStored(other, name, undefined, 'after the release of the lock of that name')
    },
  },
  {
    name: 'every key can be the name of a lock',
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
      assert.deepEqual(acquired, names, 'locks of different names must not exclude each other')
      for (const lock of locks) await lock?.release()
    },
  },
  {
    name: 'a tryLock that was aborted keeps nobody out for good',
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
          assert.equal(
            outcome.error,
            reason,
            'a tryLock that is aborted must reject with the signal’s reason',
          )
      }
      const start = performance.now()
      const lock = await acquireWhenFree(other, 250)
      assert.ok(
        performance.now() - start < maxExpiryMs,
        'a lock that nobody was given must be free within a minute',
      )
      await lock.release()
    },
  },
  {
    name: 'a lock is held for as long as its holder lives: for more than a minute, nobody else gets it',
    slow: true,
    async run(place) {
      const [store, other] = [asLocking(place.store), asLocking(await place.peer())]
      const lock = await acquire(store, 'the store is empty')
      const { signal } = lock
      const end = performance.now() + maxExpiryMs + 10_000
      while (performance.now() < end) {
        await assertHeld(other, 'its holder lives')
        assert.equal(lock.signal.aborted, false, 'the signal must not abort while the lock is held')
        await pause(1_000)
      }
      assert.equal(
        signal.aborted,
        false,
        'a signal that was read before must not abort while the lock is held',
      )
      await lock.release()
      await (await acquire(other, 'it was released')).release()
    },
  },
]

/** Longer than the renewal interval of a lock that expires after 30 s. */
const watchMs = 12_000

/** The cases that need a holder that was cut off. */
export const lostLockChecks: readonly Check[] = [
  {
    name: 'a holder that has gone loses the lock within a minute, and its signal aborts before another gets it',
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
        'a holder that has gone must lose the lock within a minute',
      )
      assert.ok(wasNotified, 'the former holder’s signal must abort before somebody else gets the lock')
      assert.ok(signal.reason instanceof Error, 'the signal’s reason must be an Error')
      const assertUndisturbed = async (when: string) => {
        await assertHeld(third, when)
        assert.equal(holder.signal.aborted, false, `the new holder’s signal must not abort: ${when}`)
      }
      // A release without connection may reject, but must not hang.
      await outcomeOf(async () => otherLock?.release())
      await assertUndisturbed('it was taken over from a holder that has gone')
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
