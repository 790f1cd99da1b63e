import { getEventListeners } from 'node:events'
import { expect, test, vi } from 'vitest'
import { ErrorResponse, InvalidResponseError } from '../../../src/acme/http/problem.js'
import { retryPolicies, retryTransient } from '../../../src/acme/http/retry-transient.js'
import { IssuanceError, LockLostError, StoreError } from '../../../src/index.js'
import { NoResponseError } from '../../../src/util/errors.js'
import { StillClock } from '../../support/still-clock.js'
import { VirtualClock } from '../../support/virtual-clock.js'

type PolicyName = keyof typeof retryPolicies

/** Retries a step that always fails with `error`, or succeeds after `failures` attempts, and skips the pauses. */
async function retry(name: PolicyName, error: Error, { failures = 99, attemptMs = 0 } = {}) {
  const pauses: number[] = []
  let now = Date.now()
  const clock = {
    now: () => now,
    after(ms: number, fn: () => void) {
      pauses.push(ms)
      now += ms
      fn()
      return () => {}
    },
  }
  const attempts: boolean[] = []
  const step = async (isFirst: boolean) => {
    attempts.push(isFirst)
    now += attemptMs
    if (attempts.length <= failures) throw error
    return 'done'
  }
  const { signal } = new AbortController()
  const context = { policy: retryPolicies[name], clock, signal }
  const outcome = await retryTransient(step, context).catch((thrown) => thrown)
  return { outcome, attempts, pauses }
}

const response = (status: number, { type = '', retryAt }: { type?: string; retryAt?: Date } = {}) => {
  const problem = { type: `urn:ietf:params:acme:error:${type}`, status }
  return new ErrorResponse('no', { status, problem, retryAt })
}
const inMs = (ms: number) => new Date(Date.now() + ms)
const invalid = new InvalidResponseError('HTML')
const silence = new NoResponseError('ECONNRESET')

const brief = [1_000, 2_000, 4_000]
const patient = [...brief, 8_000, 16_000]
const names = Object.keys(retryPolicies) as PolicyName[]
const soon = () => inMs(500)

test.each([
  ['status 500', () => response(500), [brief, brief, brief, brief, patient]],
  ['status 502', () => response(502), [brief, brief, brief, brief, patient]],
  ['status 429', () => response(429), [[], [], [], [], patient]],
  [
    'status 429 with a short Retry-After',
    () => response(429, { retryAt: soon() }),
    [brief, brief, brief, brief, patient],
  ],
  ['status 404', () => response(404), [[], [], patient, patient, patient]],
  ['orderNotReady', () => response(403, { type: 'orderNotReady' }), [[], [], patient, patient, patient]],
  ['status 400', () => response(400), [[], [], [], [], []]],
  ['status 403', () => response(403), [[], [], [], [], []]],
  ['status 499', () => response(499), [[], [], [], [], []]],
  ['an invalid response', () => invalid, [[], [], [], [], patient]],
  ['no response', () => silence, [[], [], [], brief, patient]],
  ['a lost lock', () => new LockLostError('lost'), [[], [], [], [], []]],
  ['a failed store', () => new StoreError('ERR_STORE_FAILED', 'down'), [[], [], [], [], []]],
])('%s is retried as the policy allows, and the last error rejects', async (_, makeError, expected) => {
  vi.useFakeTimers({ now: Date.now(), toFake: ['Date'] })
  try {
    const error = makeError()
    const outcomes = await Promise.all(names.map((name) => retry(name, error)))
    const pauses = Object.fromEntries(names.map((name, index) => [name, outcomes[index]?.pauses]))
    const [create, register, respond, read, finalized] = expected
    expect(pauses).toEqual({ create, register, respond, read, finalized })
    for (const { outcome, attempts, pauses } of outcomes) {
      expect(outcome).toBe(error)
      expect(attempts).toEqual([true, ...pauses.map(() => false)])
    }
  } finally {
    vi.useRealTimers()
  }
})

test('resolves with the result of the first attempt that succeeds', async () => {
  const { outcome, pauses } = await retry('create', response(500), { failures: 2 })
  expect(outcome).toBe('done')
  expect(pauses).toEqual([1_000, 2_000])
})

test('a read without a response is not repeated later than 10 s after its first attempt', async () => {
  expect((await retry('read', silence, { attemptMs: 10_000 })).pauses).toEqual([])
  expect((await retry('read', silence, { attemptMs: 9_999 })).pauses).toEqual([1_000])
})

test.each([
  ['read', 10_000],
  ['finalized', 30_000],
] as const)(
  '%s waits for a Retry-After of up to %i ms, and at least for the scheduled pause',
  async (name, max) => {
    vi.useFakeTimers({ now: Date.now(), toFake: ['Date'] })
    try {
      const busy = (ms: number) => retry(name, response(503, { retryAt: inMs(ms) }), { failures: 1 })
      expect((await busy(max)).pauses).toEqual([max])
      expect((await busy(10)).pauses).toEqual([1_000])
      expect((await busy(-5_000)).pauses).toEqual([1_000])
      const { outcome, pauses } = await busy(max + 1)
      expect(outcome).toBeInstanceOf(IssuanceError)
      expect(pauses).toEqual([])
    } finally {
      vi.useRealTimers()
    }
  },
)

test('an aborted signal ends the pause with its reason', async () => {
  const clock = new VirtualClock()
  const { signal, abort } = abortable()
  const step = () => Promise.reject(response(503))
  const ended = expect(
    retryTransient(step, { policy: retryPolicies.finalized, clock, signal }),
  ).rejects.toThrow('enough')
  await expect.poll(() => clock.pending).toBe(1)
  abort()
  await ended
  expect(clock.pending).toBe(0)
  expect(getEventListeners(signal, 'abort')).toEqual([])
})

test('an error of beforeRetry ends the retries, and is not thrown before the first attempt', async () => {
  const { signal } = new AbortController()
  const clock = new StillClock()
  const step = vi.fn(() => Promise.reject(response(503)))
  const beforeRetry = () => {
    throw new Error('the lock is lost')
  }
  const context = { policy: retryPolicies.create, clock, signal, beforeRetry }
  await expect(retryTransient(step, context)).rejects.toThrow('the lock is lost')
  expect(step).toHaveBeenCalledOnce()
})

function abortable() {
  const controller = new AbortController()
  return { signal: controller.signal, abort: () => controller.abort(new Error('enough')) }
}
