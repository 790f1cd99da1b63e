import { expect, onTestFinished, test, vi } from 'vitest'
import { LruCertCache } from '../../src/index.js'
import { LockingStore } from '../support/locking-store.js'
import { VirtualClock } from '../support/virtual-clock.js'

const key = 'a.example'
const bytes = (text: string) => Buffer.from(text)
const text = (data: Uint8Array | undefined) => data && Buffer.from(data).toString()

/** Two machines on one store. */
function fleet() {
  const store = new LockingStore()
  const clock = new VirtualClock()
  const machine = () => new LruCertCache(store, { clock, onPutFailed: () => {} })
  /** Advances the clock in steps of 1.5 s until the promise settles. */
  const letTimePass = async <T>(promise: Promise<T>): Promise<T> => {
    let settled = false
    const done = () => {
      settled = true
    }
    promise.then(done, done)
    while (!settled) {
      for (let i = 0; i < 20; i++) await new Promise(setImmediate)
      if (!settled) clock.advance(1_500)
    }
    return promise
  }
  return { store, clock, a: machine(), b: machine(), letTimePass }
}

/** Returns a producer that waits until the test calls `finish`. */
function slowly(value: string) {
  const calls = { started: 0, finish: () => {} }
  const finished = new Promise<void>((resolve) => {
    calls.finish = resolve
  })
  const produce = async () => {
    calls.started += 1
    await finished
    return bytes(value)
  }
  return { calls, produce }
}

test('reads the store again under the lock, and releases the lock', async () => {
  const { store, a } = fleet()
  expect(text(await a.getOrPut(key, async () => bytes('made')))).toBe('made')
  expect(store.take()).toEqual([`get ${key}`, `lock ${key}`, `get ${key}`, `put ${key}`, `unlock ${key}`])
})

test('uses a value that another machine stored before the lock was acquired', async () => {
  const { store, a } = fleet()
  let reads = 0
  store.before = (operation) => {
    if (operation === 'get' && ++reads === 2) store.values.set(key, bytes('by a peer'))
  }
  expect(text(await a.getOrPut(key, () => expect.unreachable()))).toBe('by a peer')
  expect(store.held(key)).toBe(false)
})

test('ignores a read that began before the lock was acquired', async () => {
  const { store, a } = fleet()
  const { calls: lock, produce: lockTaken } = slowly('')
  const tryLock = store.tryLock.bind(store)
  store.tryLock = async (name) => {
    await lockTaken()
    return tryLock(name)
  }
  const result = a.getOrPut(key, () => expect.unreachable())
  await expect.poll(() => lock.started).toBe(1)
  // Another caller on this machine: the store reads before the peer's write and responds late.
  const { calls: answer, produce: answered } = slowly('')
  const read = store.get.bind(store)
  store.get = async () => {
    store.get = read
    await answered()
    return undefined
  }
  const early = a.get(key)
  store.values.set(key, bytes('by a peer'))
  lock.finish()
  expect(text(await result)).toBe('by a peer')
  answer.finish()
  expect(text(await early)).toBe('by a peer')
})

test('a loser waits for the winner’s value and produces nothing', async () => {
  const { store, a, b, letTimePass } = fleet()
  const { calls, produce } = slowly('by a')
  const winner = a.getOrPut(key, produce)
  await expect.poll(() => calls.started).toBe(1)
  const loser = b.getOrPut(key, () => expect.unreachable())
  await expect.poll(() => store.operations.filter((operation) => operation === `lock ${key}`).length).toBe(2)
  calls.finish()
  expect(text(await winner)).toBe('by a')
  expect(text(await letTimePass(loser))).toBe('by a')
})

test('a loser produces the value after the winner has failed', async () => {
  const { a, b, letTimePass } = fleet()
  let refuse = () => {}
  const refused = new Promise<never>((_, reject) => {
    refuse = () => reject(new Error('refused'))
  })
  const winner = a.getOrPut(key, () => refused)
  const outcome = winner.catch((error: Error) => error.message)
  const loser = b.getOrPut(key, async () => bytes('by b'))
  refuse()
  expect(await outcome).toBe('refused')
  expect(text(await letTimePass(loser))).toBe('by b')
})

test('a loser detects within 2 s that the winner has failed', async () => {
  const { store, a, b, letTimePass, clock } = fleet()
  let refuse = () => {}
  const refused = new Promise<never>((_, reject) => {
    refuse = () => reject(new Error('refused'))
  })
  let failed = false
  const beforeLock = async () => {
    if (failed) throw new Error('postponed')
  }
  const winner = a.getOrPut(key, () => refused, { beforeLock }).catch((error: Error) => error.message)
  await expect.poll(() => store.held(key)).toBe(true)
  const loser = b.getOrPut(key, () => expect.unreachable(), { beforeLock })
  const started = clock.now()
  await expect.poll(() => store.operations.filter((operation) => operation === `lock ${key}`).length).toBe(2)
  failed = true
  refuse()
  expect(await winner).toBe('refused')
  await expect(letTimePass(loser)).rejects.toThrow('postponed')
  expect(clock.now() - started).toBeLessThan(2_000)
})

test('rejects with ERR_LOCK_LOST after the lock is lost three times', async () => {
  const { store, a, letTimePass } = fleet()
  let attempts = 0
  const result = a.getOrPut(key, async (lock) => {
    attempts += 1
    store.lose(key)
    lock?.signal.throwIfAborted()
    return bytes('never')
  })
  await expect(letTimePass(result)).rejects.toMatchObject({ code: 'ERR_LOCK_LOST' })
  expect(attempts).toBe(3)
})

test('a lock lost before the put prevents the put; the value that a peer stored replaces it in memory', async () => {
  const { store, a } = fleet()
  const { calls, produce } = slowly('by a, too late')
  const result = a.getOrPut(key, produce)
  await expect.poll(() => calls.started).toBe(1)
  store.lose(key)
  store.values.set(key, bytes('by a peer'))
  calls.finish()
  expect(text(await result)).toBe('by a, too late')
  await expect.poll(() => text(a.peek(key))).toBe('by a peer')
  expect(text(store.values.get(key))).toBe('by a peer')
})

test('a value whose lock is lost before the put is stored under the next lock, and not produced again', async () => {
  const { store, a } = fleet()
  const { calls, produce } = slowly('by a')
  const result = a.getOrPut(key, produce)
  await expect.poll(() => calls.started).toBe(1)
  store.lose(key)
  calls.finish()
  expect(text(await result)).toBe('by a')
  await expect.poll(() => text(store.values.get(key))).toBe('by a')
  await expect.poll(() => store.held(key)).toBe(false)
  expect(calls.started).toBe(1)
})

test('holds the lock while the put fails, and releases it once the value is stored', async () => {
  const { store, clock, a } = fleet()
  store.before = (operation) => {
    if (operation === 'put') throw new Error('full')
  }
  expect(text(await a.getOrPut(key, async () => bytes('by a')))).toBe('by a')
  expect(store.held(key)).toBe(true)
  store.before = () => {}
  clock.advance(1_000)
  await expect.poll(() => store.held(key)).toBe(false)
  expect(text(store.values.get(key))).toBe('by a')
})

test('a put that fails until the lock is lost does not overwrite a value that a peer has stored', async () => {
  const { store, clock, a } = fleet()
  store.before = (operation) => {
    if (operation === 'put') throw new Error('full')
  }
  await a.getOrPut(key, async () => bytes('by a'))
  store.lose(key)
  store.before = () => {}
  store.values.set(key, bytes('by a peer'))
  clock.advance(1_000)
  await expect.poll(() => text(a.peek(key))).toBe('by a peer')
  expect(text(store.values.get(key))).toBe('by a peer')
  expect(store.held(key)).toBe(false)
})

test('starts again when the lock is lost while the value is produced', async () => {
  const { store, a, letTimePass } = fleet()
  let attempts = 0
  const result = a.getOrPut(key, async (lock) => {
    attempts += 1
    if (attempts === 1) store.lose(key)
    lock?.signal.throwIfAborted()
    return bytes('by a')
  })
  expect(text(await letTimePass(result))).toBe('by a')
  expect(attempts).toBe(2)
})

test('close stores a value whose put failed and whose lock was lost', async () => {
  const { store, a } = fleet()
  store.before = (operation) => {
    if (operation === 'put') throw new Error('full')
  }
  await a.getOrPut(key, async () => bytes('by a'))
  store.lose(key)
  store.before = () => {}
  await a.close()
  expect(text(store.values.get(key))).toBe('by a')
  expect(store.held(key)).toBe(false)
})

test('close waits for a value that is being produced, and stores it', async () => {
  const { store, a } = fleet()
  const { calls, produce } = slowly('by a')
  const result = a.getOrPut(key, produce)
  await expect.poll(() => calls.started).toBe(1)
  const closed = a.close()
  calls.finish()
  await closed
  expect(text(await result)).toBe('by a')
  expect(text(store.values.get(key))).toBe('by a')
  expect(store.held(key)).toBe(false)
})

test('rejects and produces nothing when the store fails to lock', async () => {
  const { store, a } = fleet()
  store.tryLock = () => Promise.reject(new Error('down'))
  await expect(a.getOrPut(key, () => expect.unreachable())).rejects.toThrow('down')
})

test('releases the lock when the store fails under it', async () => {
  const { store, a } = fleet()
  let reads = 0
  store.before = (operation) => {
    if (operation === 'get' && ++reads === 2) throw new Error('down')
  }
  await expect(a.getOrPut(key, () => expect.unreachable())).rejects.toThrow('down')
  expect(store.held(key)).toBe(false)
})

test('the wait for another machine ends with ERR_DEADLINE', async () => {
  const { store, a, letTimePass } = fleet()
  await store.tryLock(key)
  const waiting = a.getOrPut(key, () => expect.unreachable())
  await expect(letTimePass(waiting)).rejects.toMatchObject({ code: 'ERR_DEADLINE' })
})

test('close ends the wait for another machine', async () => {
  const { store, a } = fleet()
  await store.tryLock(key)
  const waiting = a.getOrPut(key, () => expect.unreachable())
  const ended = expect(waiting).rejects.toMatchObject({ code: 'ERR_CLOSED' })
  await expect.poll(() => store.operations.length).toBe(3)
  await a.close()
  await ended
})

test.each([
  [0, 1_000],
  [0.5, 1_167],
  [0.999, 1_333],
])('a loser polls the store every 1 to 1.33 s, spread at random: random %f', async (random, pauseMs) => {
  vi.spyOn(Math, 'random').mockReturnValue(random)
  onTestFinished(() => void vi.restoreAllMocks())
  const { store, clock, a } = fleet()
  await store.tryLock(key)
  const pauses: number[] = []
  const after = clock.after.bind(clock)
  clock.after = (ms, fn) => {
    pauses.push(Math.round(ms))
    return after(ms, fn)
  }
  const waiting = a.getOrPut(key, () => expect.unreachable())
  waiting.catch(() => undefined)
  for (let turns = 1; turns <= 3; turns++) {
    await expect.poll(() => pauses.filter((ms) => ms < 10_000)).toEqual(Array(turns).fill(pauseMs))
    clock.advance(2_000)
  }
  await a.close()
  expect(clock.pending).toBe(0)
})
