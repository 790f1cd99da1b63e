import { expect, test } from 'vitest'
import { CircuitBreaker } from '../../src/cache/circuit-breaker.js'
import { StoreError, type StoreErrorCode } from '../../src/index.js'
import { VirtualClock } from '../support/virtual-clock.js'

const down = () => Promise.reject(new StoreError('ERR_STORE_UNREACHABLE', 'no answer'))
const up = async () => 'fine'
const key = 'a.example'

/** Returns how many of `times` operations reach the store. */
async function reached(
  breaker: CircuitBreaker,
  operation: () => Promise<unknown>,
  times = 1,
  what: { key?: string } = {},
) {
  let calls = 0
  for (let index = 0; index < times; index++) {
    await breaker
      .run(what.key ?? key, () => {
        calls += 1
        return operation()
      })
      .catch(() => undefined)
  }
  return calls
}

test('opens for 1 s after 5 consecutive failures and rejects with the last error', async () => {
  const clock = new VirtualClock()
  const breaker = new CircuitBreaker(clock)
  expect(await reached(breaker, down, 20)).toBe(5)
  await expect(breaker.run(key, up)).rejects.toMatchObject({
    code: 'ERR_STORE_UNREACHABLE',
    message: expect.stringMatching(/the last 5 store operations failed \(next attempt in 1 s\): no answer/),
  })
  clock.advance(1_000)
  expect(await breaker.run(key, up)).toBe('fine')
  expect(await reached(breaker, up, 20)).toBe(20)
})

test('a success resets the count of failures', async () => {
  const breaker = new CircuitBreaker(new VirtualClock())
  for (let times = 0; times < 5; times++) {
    expect(await reached(breaker, down, 4)).toBe(4)
    expect(await reached(breaker, up)).toBe(1)
  }
})

test('an error about a single entry resets the count of failures, because the store has answered', async () => {
  const breaker = new CircuitBreaker(new VirtualClock())
  const conflict = () => Promise.reject(new StoreError('ERR_STORE_FAILED', 'conflict', { statusCode: 409 }))
  for (let times = 0; times < 5; times++) {
    expect(await reached(breaker, down, 4)).toBe(4)
    expect(await reached(breaker, conflict)).toBe(1)
  }
})

test('rejects with the status of the last error, which is the cause', async () => {
  const breaker = new CircuitBreaker(new VirtualClock())
  const lastError = new StoreError('ERR_STORE_FAILED', 'busy', { statusCode: 503 })
  await reached(breaker, () => Promise.reject(lastError), 5)
  await expect(breaker.run(key, up)).rejects.toMatchObject({ statusCode: 503, cause: lastError })
})

test('stays open for 1, 2, 4, 8, then 15 s as probes fail; the first success closes it', async () => {
  const clock = new VirtualClock()
  const breaker = new CircuitBreaker(clock)
  await reached(breaker, down, 5)
  for (const seconds of [1, 2, 4, 8, 15, 15]) {
    clock.advance(seconds * 1_000 - 1)
    expect(await reached(breaker, down, 3)).toBe(0)
    clock.advance(1)
    expect(await reached(breaker, down, 3)).toBe(1)
  }
  clock.advance(15_000)
  expect(await reached(breaker, up, 3)).toBe(3)
  await reached(breaker, down, 5)
  clock.advance(1_000)
  expect(await reached(breaker, up)).toBe(1)
})

test('lets one operation at a time through as a probe', async () => {
  const clock = new VirtualClock()
  const breaker = new CircuitBreaker(clock)
  await reached(breaker, down, 5)
  clock.advance(1_000)
  let answer = (_: string) => {}
  const probe = breaker.run(
    key,
    () =>
      new Promise<string>((resolve) => {
        answer = resolve
      }),
  )
  expect(await reached(breaker, up, 3)).toBe(0)
  answer('back')
  expect(await probe).toBe('back')
  expect(await reached(breaker, up)).toBe(1)
})

test('opens once, for 1 s, when 100 concurrent operations fail', async () => {
  const clock = new VirtualClock()
  const breaker = new CircuitBreaker(clock)
  await Promise.allSettled(Array.from({ length: 100 }, () => breaker.run(key, down)))
  clock.advance(1_000)
  expect(await reached(breaker, up)).toBe(1)
})

test.each<[StoreErrorCode, number | undefined, number]>([
  ['ERR_STORE_FAILED', 409, 20],
  ['ERR_STORE_FAILED', 413, 20],
  ['ERR_STORE_FAILED', 408, 5],
  ['ERR_STORE_FAILED', 503, 5],
  ['ERR_STORE_FAILED', 429, 5],
  ['ERR_STORE_FAILED', undefined, 5],
  ['ERR_STORE_ENTRY', undefined, 20],
  ['ERR_STORE_DECRYPT', undefined, 20],
  ['ERR_STORE_CREDENTIALS', 403, 5],
  ['ERR_STORE_CONTAINER', 404, 5],
  ['ERR_STORE_TIMEOUT', undefined, 5],
])('%s with status %s: of 20 operations %i reach the store', async (code, statusCode, expected) => {
  const breaker = new CircuitBreaker(new VirtualClock())
  const fail = () => Promise.reject(new StoreError(code, 'no', { statusCode }))
  expect(await reached(breaker, fail, 20)).toBe(expected)
})

test('opens for one key while only that key fails; a failure of a second key opens it for all keys', async () => {
  const breaker = new CircuitBreaker(new VirtualClock())
  await reached(breaker, down, 20)
  expect(await reached(breaker, up, 1)).toBe(0)
  expect(await reached(breaker, down, 5, { key: 'b.example' })).toBe(1)
  expect(await reached(breaker, up, 1, { key: 'c.example' })).toBe(0)
})

test('a success forgets which key failed: the next outage of one key opens the breaker for that key alone', async () => {
  const breaker = new CircuitBreaker(new VirtualClock())
  await reached(breaker, down, 1)
  expect(await reached(breaker, up)).toBe(1)
  expect(await reached(breaker, down, 20, { key: 'b.example' })).toBe(5)
  expect(await reached(breaker, up, 3)).toBe(3)
})

test('a clock that is set back by 2 hours does not keep the breaker open', async () => {
  const clock = new VirtualClock()
  const breaker = new CircuitBreaker(clock)
  await reached(breaker, down, 5)
  clock.advance(-2 * 3_600_000)
  expect(await reached(breaker, up)).toBe(0)
  clock.advance(1_000)
  expect(await reached(breaker, up)).toBe(1)
})

test('counts a missing permission as a failure', async () => {
  const breaker = new CircuitBreaker(new VirtualClock())
  const forbidden = () => Promise.reject(new StoreError('ERR_STORE_PERMISSION', 'no', { statusCode: 403 }))
  expect(await reached(breaker, forbidden, 20)).toBe(5)
})

test('does not count an operation that its caller aborts as a failure', async () => {
  const breaker = new CircuitBreaker(new VirtualClock())
  expect(await reached(breaker, () => Promise.reject(new Error('enough')), 20)).toBe(20)
})

test('lets the next operation probe after a caller aborts the probe', async () => {
  const clock = new VirtualClock()
  const breaker = new CircuitBreaker(clock)
  await reached(breaker, down, 5)
  clock.advance(1_000)
  await expect(breaker.run(key, () => Promise.reject(new Error('enough')))).rejects.toThrow('enough')
  expect(await reached(breaker, up, 3)).toBe(3)
})
