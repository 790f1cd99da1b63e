import { expect, test } from 'vitest'
import { retry } from '../../src/util/retry.js'
import { VirtualClock } from '../support/virtual-clock.js'

const { signal } = new AbortController()

test('waits as long as delayAfter says, and resolves with the first success', async () => {
  const clock = new VirtualClock(0)
  const times: [number, number][] = []
  const attempt = async (index: number) => {
    times.push([index, clock.now()])
    if (index < 2) throw new Error('busy')
    return 'done'
  }
  const elapsed: number[] = []
  const delayAfter = (_: unknown, index: number, elapsedMs: number) => {
    elapsed.push(elapsedMs)
    return 100 * (index + 1)
  }
  const result = retry(attempt, { delayAfter, clock, signal })
  for (const ms of [100, 200]) {
    await expect.poll(() => clock.pending).toBe(1)
    clock.advance(ms)
  }
  expect(await result).toBe('done')
  expect(elapsed).toEqual([0, 100])
  expect(times).toEqual([
    [0, 0],
    [1, 100],
    [2, 300],
  ])
})

test('rejects with the error for which delayAfter returns undefined', async () => {
  const error = new Error('refused')
  const delayAfter = (thrown: unknown) => (thrown === error ? undefined : 1)
  const outcome = retry(() => Promise.reject(error), { delayAfter, clock: new VirtualClock(), signal })
  await expect(outcome).rejects.toBe(error)
})

test('an aborted signal ends a delay with its reason', async () => {
  const clock = new VirtualClock()
  const controller = new AbortController()
  const outcome = retry(() => Promise.reject(new Error('busy')), {
    delayAfter: () => 1_000,
    clock,
    signal: controller.signal,
  })
  const rejected = expect(outcome).rejects.toThrow('enough')
  await expect.poll(() => clock.pending).toBe(1)
  controller.abort(new Error('enough'))
  await rejected
  expect(clock.pending).toBe(0)
})
