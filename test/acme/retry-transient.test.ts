import { getEventListeners } from 'node:events'
import { expect, test, vi } from 'vitest'
import { retryTransient } from '../../src/acme/retry-transient.js'
import { IssuanceError, LockLostError, StoreError } from '../../src/index.js'
import { VirtualClock } from '../support/virtual-clock.js'

/** Retries a step that always fails with `error`, or succeeds after `failures` attempts, and skips the pauses. */
async function retry(error: Error, failures = Number.POSITIVE_INFINITY) {
  const pauses: number[] = []
  const now = Date.now()
  const clock = {
    now: () => now,
    after(ms: number, fn: () => void) {
      pauses.push(ms)
      fn()
      return () => {}
    },
  }
  const attempts: boolean[] = []
  const step = async (isFirst: boolean) => {
    attempts.push(isFirst)
    if (attempts.length <= failures) throw error
    return 'done'
  }
  const outcome = await retryTransient(step, clock, new AbortController().signal).catch((thrown) => thrown)
  return { outcome, attempts, pauses }
}

const refusal = (status?: number, retryAt?: Date) =>
  new IssuanceError('ERR_ISSUANCE_FAILED', 'no', {
    retryAt,
    ...(status !== undefined && { problem: { type: 'about:blank', status } }),
  })
const inMs = (ms: number) => new Date(Date.now() + ms)

test('retries after 1, 2, 4, 8 and 16 s, and rejects with the last error', async () => {
  const error = refusal(503)
  const { outcome, attempts, pauses } = await retry(error)
  expect(outcome).toBe(error)
  expect(pauses).toEqual([1_000, 2_000, 4_000, 8_000, 16_000])
  expect(attempts).toEqual([true, false, false, false, false, false])
})

test('resolves with the result of the first attempt that succeeds', async () => {
  const { outcome, pauses } = await retry(refusal(500), 2)
  expect(outcome).toBe('done')
  expect(pauses).toEqual([1_000, 2_000])
})

test.each([
  ['no response', refusal()],
  ['status 500', refusal(500)],
  ['status 429', refusal(429)],
  ['an invalid response', new Error('acme-client cannot read it')],
])('%s is transient', async (_, error) => {
  expect((await retry(error, 1)).outcome).toBe('done')
})

test.each([
  ['status 400', refusal(400)],
  ['status 403', refusal(403)],
  ['status 499', refusal(499)],
  ['a lost lock', new LockLostError('lost')],
  ['a failed store', new StoreError('ERR_STORE_FAILED', 'down')],
])('%s is not transient', async (_, error) => {
  const { outcome, attempts } = await retry(error, 1)
  expect(outcome).toBe(error)
  expect(attempts).toEqual([true])
})

test('waits for a Retry-After of up to 30 s, and at least for the scheduled pause', async () => {
  vi.useFakeTimers({ now: Date.now(), toFake: ['Date'] })
  try {
    expect((await retry(refusal(503, inMs(30_000)), 1)).pauses).toEqual([30_000])
    expect((await retry(refusal(503, inMs(10)), 1)).pauses).toEqual([1_000])
    expect((await retry(refusal(503, inMs(-5_000)), 1)).pauses).toEqual([1_000])
    const { outcome, pauses } = await retry(refusal(503, inMs(30_001)), 1)
    expect(outcome).toMatchObject({ code: 'ERR_ISSUANCE_FAILED' })
    expect(pauses).toEqual([])
  } finally {
    vi.useRealTimers()
  }
})

test('an aborted signal ends the pause with its reason', async () => {
  const clock = new VirtualClock()
  const controller = new AbortController()
  const step = () => Promise.reject(refusal(503))
  const ended = expect(retryTransient(step, clock, controller.signal)).rejects.toThrow('enough')
  await expect.poll(() => clock.pending).toBe(1)
  controller.abort(new Error('enough'))
  await ended
  expect(clock.pending).toBe(0)
  expect(getEventListeners(controller.signal, 'abort')).toEqual([])
})
