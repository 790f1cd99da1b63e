import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { retryDelay } from '../../../src/stores/azure/retry.js'
import { systemClock } from '../../../src/util/clock.js'
import { retry } from '../../../src/util/retry.js'

function withRetries<T>(
  request: () => Promise<T>,
  { timeoutMs, signal }: { timeoutMs: number; signal: AbortSignal },
): Promise<T> {
  const delayAfter = (thrown: unknown, index: number, elapsedMs: number) =>
    retryDelay(thrown, index, elapsedMs, timeoutMs)
  return retry(request, { delayAfter, clock: systemClock, signal })
}

beforeEach(() => {
  vi.useFakeTimers()
})
afterEach(() => {
  vi.useRealTimers()
  vi.restoreAllMocks()
})

/** The parts of the SDK’s RestError that matter. */
const restError = (error: { statusCode?: number; code?: string; retryAfter?: string; tookMs?: number }) =>
  Object.assign(new Error('the request failed'), error, {
    response: { headers: { get: (name: string) => (name === 'retry-after' ? error.retryAfter : undefined) } },
  })

/** Sends a request that always fails, and records when each attempt is made, in ms. */
async function attempts(error: ReturnType<typeof restError>, timeoutMs = 5_000, signal?: AbortSignal) {
  const start = performance.now()
  const times: number[] = []
  const request = () => {
    times.push(performance.now() - start)
    if (error.tookMs === undefined) return Promise.reject(error)
    return new Promise<never>((_, reject) => setTimeout(reject, error.tookMs, error))
  }
  const outcome = withRetries(request, { timeoutMs, signal: signal ?? new AbortController().signal }).catch(
    (thrown: unknown) => thrown,
  )
  await vi.advanceTimersByTimeAsync(60_000)
  return { times, thrown: await outcome, timers: vi.getTimerCount() }
}

test.each([
  ...[408, 429, 500, 502, 503, 504].map((statusCode) => ({ statusCode })),
  ...['ECONNRESET', 'EPIPE', 'ECONNREFUSED', 'ETIMEDOUT', 'EAI_AGAIN', 'REQUEST_SEND_ERROR'].map((code) => ({
    code,
  })),
])('retries twice and throws the last error: %j', async (fields) => {
  const error = restError(fields)
  const { times, thrown, timers } = await attempts(error)
  expect(times).toHaveLength(3)
  expect(thrown).toBe(error)
  expect(timers).toBe(0)
})

test.each([
  ...[400, 401, 403, 404, 409, 412, 501].map((statusCode) => ({ statusCode })),
  // A response arrived, so the code is the service’s.
  { statusCode: 403, code: 'ECONNRESET' },
  { code: 'ENOTFOUND' },
  { code: 'PARSE_ERROR' },
  {},
])('does not retry: %j', async (fields) => {
  expect((await attempts(restError(fields))).times).toEqual([0])
})

test('resolves with the result of the attempt that succeeds', async () => {
  const request = vi
    .fn<() => Promise<string>>()
    .mockRejectedValueOnce(restError({ statusCode: 503 }))
    .mockResolvedValueOnce('value')
  const result = withRetries(request, { timeoutMs: 5_000, signal: new AbortController().signal })
  await vi.advanceTimersByTimeAsync(1_000)
  expect(await result).toBe('value')
  expect(request).toHaveBeenCalledTimes(2)
})

test.each([
  [0, [0, 100, 500]],
  [0.5, [0, 125, 625]],
  [0.999, [0, 149, 748]],
])('waits 100 ms and 400 ms, each plus a jitter of up to 50 percent: random %f', async (random, expected) => {
  vi.spyOn(Math, 'random').mockReturnValue(random)
  const { times } = await attempts(restError({ statusCode: 503 }))
  for (const [index, time] of times.entries()) expect(time).toBeCloseTo(expected[index] as number, -1)
})

test('waits for a Retry-After of up to 1 s, and does not retry after one of 2 s', async () => {
  expect((await attempts(restError({ statusCode: 503, retryAfter: '1' }))).times).toEqual([0, 1_000, 2_000])
  expect((await attempts(restError({ statusCode: 503, retryAfter: '0' }))).times.at(-1)).toBeLessThan(10)
  expect((await attempts(restError({ statusCode: 503, retryAfter: '2' }))).times).toEqual([0])
  const date = 'Thu, 01 Oct 2026 00:10:00 GMT'
  expect((await attempts(restError({ statusCode: 503, retryAfter: date }))).times).toHaveLength(3)
})

test('makes no attempt in the second half of the time-out', async () => {
  vi.spyOn(Math, 'random').mockReturnValue(0)
  const slow = restError({ statusCode: 503, tookMs: 1_000 })
  expect((await attempts(slow, 2_000)).times).toEqual([0])
  expect((await attempts(slow, 4_000)).times).toEqual([0, 1_100])
  expect((await attempts(slow, 6_000)).times).toEqual([0, 1_100, 2_500])
})

test('a signal that aborts during a pause ends the wait with its reason and clears the timer', async () => {
  const controller = new AbortController()
  const reason = new Error('enough')
  const request = () => Promise.reject(restError({ statusCode: 503 }))
  const outcome = withRetries(request, { timeoutMs: 5_000, signal: controller.signal })
  const rejected = expect(outcome).rejects.toBe(reason)
  await vi.advanceTimersByTimeAsync(50)
  controller.abort(reason)
  await rejected
  expect(vi.getTimerCount()).toBe(0)
})
