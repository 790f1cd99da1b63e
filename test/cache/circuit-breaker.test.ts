import { expect, test } from 'vitest'
import { CircuitBreaker } from '../../src/cache/circuit-breaker.js'
import { StoreError, type StoreErrorCode } from '../../src/index.js'
import { VirtualClock } from '../support/virtual-clock.js'

const down = () => Promise.reject(new StoreError('ERR_STORE_UNREACHABLE', 'no answer'))
const up = async () => 'fine'
const asked = { operation: 'get', key: 'a.example' }

/** How many of `times` operations reached the store. */
async function reached(
  breaker: CircuitBreaker,
  operation: () => Promise<unknown>,
  times = 1,
  what: { operation?: string; key?: string } = {},
) {
  let calls = 0
  for (let index = 0; index < times; index++) {
    await breaker
      .run({ ...asked, ...what }, () => {
        calls += 1
        return operation()
      })
      .catch(() => undefined)
  }
  return calls
}

test('after 5 failures in a row nothing is asked for a second, and the last error is told', async () => {
  const clock = new VirtualClock()
  const breaker = new CircuitBreaker(clock)
  expect(await reached(breaker, down, 20)).toBe(5)
  await expect(breaker.run(asked, up)).rejects.toMatchObject({
    code: 'ERR_STORE_UNREACHABLE',
    message: expect.stringMatching(/failed 5 times in a row, and is asked again in 1 s: no answer/),
  })
  clock.advance(1_000)
  expect(await breaker.run(asked, up)).toBe('fine')
  expect(await reached(breaker, up, 20)).toBe(20)
})

test('a success in between counts', async () => {
  const breaker = new CircuitBreaker(new VirtualClock())
  for (let times = 0; times < 5; times++) {
    expect(await reached(breaker, down, 4)).toBe(4)
    expect(await reached(breaker, up)).toBe(1)
  }
})

test('the pauses grow to 15 s, and end with the first success', async () => {
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

test('only one operation finds out whether it works again', async () => {
  const clock = new VirtualClock()
  const breaker = new CircuitBreaker(clock)
  await reached(breaker, down, 5)
  clock.advance(1_000)
  let answer = (_: string) => {}
  const probe = breaker.run(
    asked,
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

test('many that fail at once open it once', async () => {
  const clock = new VirtualClock()
  const breaker = new CircuitBreaker(clock)
  await Promise.allSettled(Array.from({ length: 100 }, () => breaker.run(asked, down)))
  clock.advance(1_000)
  expect(await reached(breaker, up)).toBe(1)
})

test.each<[StoreErrorCode, number | undefined, number]>([
  ['ERR_STORE_FAILED', 409, 20],
  ['ERR_STORE_FAILED', 413, 20],
  ['ERR_STORE_FAILED', 503, 5],
  ['ERR_STORE_FAILED', 429, 5],
  ['ERR_STORE_FAILED', undefined, 5],
  ['ERR_STORE_ENTRY', undefined, 20],
  ['ERR_STORE_CREDENTIALS', 403, 5],
  ['ERR_STORE_CONTAINER', 404, 5],
  ['ERR_STORE_TIMEOUT', undefined, 5],
])('%s with status %s: of 20 operations %i reach the store', async (code, statusCode, expected) => {
  const breaker = new CircuitBreaker(new VirtualClock())
  const fail = () => Promise.reject(new StoreError(code, 'no', { statusCode }))
  expect(await reached(breaker, fail, 20)).toBe(expected)
})

test('as long as one key alone has failed, others are asked for; one of those that fails, too, means them all', async () => {
  const breaker = new CircuitBreaker(new VirtualClock())
  await reached(breaker, down, 20)
  expect(await reached(breaker, up, 1)).toBe(0)
  expect(await reached(breaker, down, 5, { key: 'b.example' })).toBe(1)
  expect(await reached(breaker, up, 1, { key: 'c.example' })).toBe(0)
})

test('a clock that is set back by hours keeps nothing away for hours', async () => {
  const clock = new VirtualClock()
  const breaker = new CircuitBreaker(clock)
  await reached(breaker, down, 5)
  clock.advance(-2 * 3_600_000)
  expect(await reached(breaker, up)).toBe(1)
})

test('locks that are not permitted say nothing of the store; reads that are not permitted do', async () => {
  const breaker = new CircuitBreaker(new VirtualClock())
  const forbidden = () => Promise.reject(new StoreError('ERR_STORE_PERMISSION', 'no', { statusCode: 403 }))
  expect(await reached(breaker, forbidden, 20, { operation: 'lock' })).toBe(20)
  expect(await reached(breaker, forbidden, 20)).toBe(5)
})

test('a caller who gave up says nothing of the store', async () => {
  const breaker = new CircuitBreaker(new VirtualClock())
  expect(await reached(breaker, () => Promise.reject(new Error('enough')), 20)).toBe(20)
})

test('a probe whose caller gives up lets the next operation probe', async () => {
  const clock = new VirtualClock()
  const breaker = new CircuitBreaker(clock)
  await reached(breaker, down, 5)
  clock.advance(1_000)
  await expect(breaker.run(asked, () => Promise.reject(new Error('enough')))).rejects.toThrow('enough')
  expect(await reached(breaker, up, 3)).toBe(3)
})
