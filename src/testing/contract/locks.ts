import assert from 'node:assert/strict'
import type { CertCacheLock, LockingCertCache } from '../../cache/cert-cache.js'
import { assertStored, bytes, cutOff, locking, outcomeOf, pause } from './assertions.js'
import type { Check } from './types.js'

const name = 'a.example'
/** A holder that dies loses the lock within a minute. */
const withinMs = 60_000

async function taken(store: LockingCertCache, why: string): Promise<CertCacheLock> {
  const lock = await store.tryLock(name)
  assert.ok(lock !== undefined, `tryLock must give a lock that nobody holds: ${why}`)
  assert.equal(lock.signal.aborted, false, 'the signal of a lock that was just given must not be aborted')
  return lock
}

async function assertTaken(store: LockingCertCache, why: string): Promise<void> {
  const lock = await store.tryLock(name)
  assert.equal(
    lock,
    undefined,
    `tryLock must resolve with undefined while somebody else holds the lock: ${why}`,
  )
}

/** Tries until it is given, as the other machines do. */
async function untilTaken(store: LockingCertCache, everyMs: number, whileWaiting?: () => Promise<void>) {
  for (;;) {
    const lock = await store.tryLock(name)
    if (lock) return lock
    await whileWaiting?.()
    await pause(everyMs)
  }
}

export const lockChecks: readonly Check[] = [
  {
    name: 'a lock is exclusive, between two handles and on one, until it is released',
    async run(place) {
      const [store, other] = [locking(place.store), locking(await place.peer())]
      const lock = await taken(store, 'the store is empty')
      await assertTaken(other, 'on another handle')
      await assertTaken(store, 'on the same handle')
      const another = await other.tryLock('b.example')
      assert.ok(another, 'the lock of another name must not be held')
      await another.release()
      await assertTaken(other, 'the lock of another name was released')
      await lock.release()
      const next = await taken(other, 'it was released')
      await assertTaken(store, 'its former holder asks')
      await next.release()
    },
  },
  {
    name: 'of many tries at once one gets the lock',
    async run(place) {
      const [store, other] = [locking(place.store), locking(await place.peer())]
      for (let round = 1; round <= 5; round++) {
        const tries = Array.from({ length: 20 }, (_, at) => (at % 2 ? store : other).tryLock(name))
        const locks = (await Promise.all(tries)).filter((lock) => lock !== undefined)
        // A race that everybody loses is none, but once is the store's to excuse: here nobody else is there.
        assert.equal(locks.length, 1, `of 20 tries at once one must get the lock, in round ${round}`)
        await locks[0]?.release()
      }
    },
  },
  {
    name: 'what is done under the lock is done by one after the other',
    async run(place) {
      const { store } = place
      const handles = [locking(store), locking(await place.peer()), locking(await place.peer())]
      const rounds = 4
      await store.put('counter', bytes('0'))
      const count = async (handle: LockingCertCache) => {
        for (let round = 0; round < rounds; round++) {
          const lock = await untilTaken(handle, 20)
          const counter = Number(Buffer.from((await handle.get('counter')) ?? []).toString())
          await handle.put('counter', bytes(String(counter + 1)))
          await lock.release()
        }
      }
      await Promise.all(handles.map(count))
      const expected = bytes(String(rounds * handles.length))
      await assertStored(store, 'counter', expected, 'after increments under the lock')
    },
  },
  {
    name: 'a lock is released by its owner only; releasing it again is harmless',
    async run(place) {
      const [store, other] = [locking(place.store), locking(await place.peer())]
      const former = await taken(store, 'the store is empty')
      await former.release()
      await former.release()
      const holder = await taken(other, 'it was released')
      await former.release()
      await assertTaken(store, 'a former holder released once more')
      assert.equal(holder.signal.aborted, false, 'a former holder’s release must not disturb the next holder')
      await holder.release()
      const again = await taken(store, 'it was released')
      await Promise.all([again.release(), again.release()])
      await (await taken(other, 'it was released twice at once')).release()
    },
  },
  {
    name: 'the lock of a key disturbs nothing that is stored under that key, nor the other way round',
    async run(place) {
      const [store, other] = [locking(place.store), locking(await place.peer())]
      const lock = await taken(store, 'the store is empty')
      await assertStored(other, name, undefined, 'while the lock of that name is held')
      await other.put(name, bytes('value'))
      await assertStored(store, name, bytes('value'), 'while the lock of that name is held')
      await assertTaken(other, 'the value of that name was written')
      await lock.release()
      await assertStored(store, name, bytes('value'), 'after the lock of that name was released')
      const next = await taken(store, 'the value of that name is there')
      await other.delete(name)
      await assertTaken(other, 'the value of that name was deleted')
      await next.release()
      await assertStored(other, name, undefined, 'after the release of the lock of that name')
    },
  },
  {
    name: 'every key can be the name of a lock',
    async run(place) {
      const store = locking(place.store)
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
      const given = names.filter((_, at) => locks[at])
      assert.deepEqual(given, names, 'locks of different names must not exclude each other')
      for (const lock of locks) await lock?.release()
    },
  },
  {
    name: 'a tryLock that was aborted keeps nobody out for good',
    slow: true,
    async run(place) {
      const [store, other] = [locking(place.store), locking(await place.peer())]
      for (const turns of [0, 1, 3, 9]) {
        const controller = new AbortController()
        const reason = new Error('the caller has gone')
        const running = outcomeOf(() => store.tryLock(name, { signal: controller.signal }))
        for (let turn = 0; turn < turns; turn++) await new Promise(setImmediate)
        controller.abort(reason)
        const outcome = await running
        if ('value' in outcome) await outcome.value?.release()
        else
          assert.equal(
            outcome.error,
            reason,
            'a tryLock that is aborted must reject with the signal’s reason',
          )
      }
      const from = performance.now()
      const lock = await untilTaken(other, 250)
      assert.ok(
        performance.now() - from < withinMs,
        'a lock that nobody was given must be free within a minute',
      )
      await lock.release()
    },
  },
  {
    name: 'a lock is held for as long as its holder lives: for more than a minute, nobody else gets it',
    slow: true,
    async run(place) {
      const [store, other] = [locking(place.store), locking(await place.peer())]
      const lock = await taken(store, 'the store is empty')
      const { signal } = lock
      const end = performance.now() + withinMs + 10_000
      while (performance.now() < end) {
        await assertTaken(other, 'its holder lives')
        assert.equal(lock.signal.aborted, false, 'the signal must not abort while the lock is held')
        await pause(1_000)
      }
      assert.equal(
        signal.aborted,
        false,
        'a signal that was read before must not abort while the lock is held',
      )
      await lock.release()
      await (await taken(other, 'it was released')).release()
    },
  },
]

/** Within this a lock that lasts half a minute at most has to be renewed. */
const renewalMs = 12_000

/** The cases that need a holder that has gone. */
export const lostLockChecks: readonly Check[] = [
  {
    name: 'a holder that has gone loses the lock within a minute, and its signal aborts before another gets it',
    slow: true,
    async run(place) {
      const [store, other, third] = [
        locking(place.store),
        locking(await place.peer()),
        locking(await place.peer()),
      ]
      const lost = await taken(store, 'the store is empty')
      const { signal } = lost
      const releasedBefore = await store.tryLock('b.example')
      await cutOff(place)
      const from = performance.now()
      const holder = await untilTaken(other, 500)
      // Read first: from now on both could be at work.
      const [told, toldNow] = [signal.aborted, lost.signal.aborted]
      assert.ok(
        performance.now() - from < withinMs,
        'a holder that has gone must lose the lock within a minute',
      )
      assert.ok(told && toldNow, 'the former holder’s signal must abort before somebody else gets the lock')
      assert.ok(signal.reason instanceof Error, 'the signal’s reason must be an Error')
      const assertLeftAlone = async (why: string) => {
        await assertTaken(third, why)
        assert.equal(holder.signal.aborted, false, `the new holder’s signal must not abort: ${why}`)
      }
      // It cannot reach the place: it may reject, and must not hang.
      await outcomeOf(async () => releasedBefore?.release())
      await assertLeftAlone('it was taken over from a holder that has gone')
      if (place.mend) {
        await place.mend()
        // A former holder that goes on renewing would take it back.
        for (const end = performance.now() + renewalMs; performance.now() < end; await pause(1_000))
          await assertLeftAlone('its former holder reaches the place again')
        await outcomeOf(() => lost.release())
        await assertLeftAlone('its former holder released it')
      }
      await holder.release()
      await (await taken(third, 'the new holder released it')).release()
    },
  },
]
