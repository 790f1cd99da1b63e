import { getEventListeners } from 'node:events'
import { expect, test } from 'vitest'
import { abortable, linkAbort, sharedController, sleep, withDeadline } from '../../src/util/deadline.js'
import { DeadlineError } from '../../src/util/errors.js'
import { VirtualClock } from '../support/virtual-clock.js'

const listeners = (signal: AbortSignal) => getEventListeners(signal, 'abort').length
const never = () => new Promise<never>(() => {})
const reason = new Error('enough')

test('a shared controller’s signal accepts any number of listeners without a process warning', async () => {
  const warnings: Error[] = []
  const listener = (warning: Error) => void warnings.push(warning)
  process.on('warning', listener)
  try {
    const { signal } = sharedController()
    for (let count = 0; count < 50; count++) signal.addEventListener('abort', () => {})
    // Node emits warnings in a later turn.
    for (let turn = 0; turn < 3; turn++) await new Promise(setImmediate)
    expect(warnings).toEqual([])
  } finally {
    process.off('warning', listener)
  }
})

test('linkAbort aborts with the reason of the first source that aborts', () => {
  const sources = [new AbortController(), new AbortController()] as const
  const follower = new AbortController()
  linkAbort(follower, [undefined, ...sources.map(({ signal }) => signal)])
  expect(follower.signal.aborted).toBe(false)
  sources[1].abort(reason)
  sources[0].abort(new Error('too late'))
  expect(follower.signal.reason).toBe(reason)
})

test('linkAbort aborts at once if a source has already aborted', () => {
  const follower = new AbortController()
  linkAbort(follower, [AbortSignal.abort(reason)])
  expect(follower.signal.reason).toBe(reason)
})

test('the function that linkAbort returns removes its listeners', () => {
  const source = new AbortController()
  const follower = new AbortController()
  const unfollow = linkAbort(follower, [source.signal])
  expect(listeners(source.signal)).toBe(1)
  unfollow()
  expect(listeners(source.signal)).toBe(0)
  source.abort(reason)
  expect(follower.signal.aborted).toBe(false)
})

test('abortable settles as the promise does, and removes its listener', async () => {
  const { signal } = new AbortController()
  const value = abortable(Promise.resolve('value'), signal)
  const failure = abortable(Promise.reject(new Error('failed')), signal)
  expect(listeners(signal)).toBe(2)
  expect(await value).toBe('value')
  await expect(failure).rejects.toThrow('failed')
  await expect.poll(() => listeners(signal)).toBe(0)
})

test('abortable rejects with the signal’s reason, before or while the promise is pending', async () => {
  await expect(abortable(never(), AbortSignal.abort(reason))).rejects.toBe(reason)
  const controller = new AbortController()
  const pending = abortable(never(), controller.signal)
  controller.abort(reason)
  await expect(pending).rejects.toBe(reason)
})

/** Runs `work` with a deadline of 5 s on a virtual clock. */
function deadline(work: (signal: AbortSignal) => Promise<unknown>, source?: AbortSignal) {
  const clock = new VirtualClock()
  const result = withDeadline(work, {
    ms: 5_000,
    clock,
    error: () => new Error('5 s are over'),
    signal: source,
  })
  return { clock, result }
}

test('withDeadline settles as the work does, and clears its timer', async () => {
  const { signal } = new AbortController()
  const success = deadline(async () => 'value', signal)
  expect(success.clock.pending).toBe(1)
  expect(await success.result).toBe('value')
  expect(success.clock.pending).toBe(0)
  const failure = deadline(() => Promise.reject(new Error('failed')), signal)
  await expect(failure.result).rejects.toThrow('failed')
  expect(failure.clock.pending).toBe(0)
  expect(listeners(signal)).toBe(0)
})

test('withDeadline clears its timer when the work throws before it returns a promise', async () => {
  const { signal } = new AbortController()
  const { clock, result } = deadline(() => {
    throw new Error('failed')
  }, signal)
  await expect(result).rejects.toThrow('failed')
  expect(clock.pending).toBe(0)
  expect(listeners(signal)).toBe(0)
})

test('withDeadline rejects after exactly its duration and aborts the signal of work that is still running', async () => {
  let seen: AbortSignal | undefined
  const { clock, result } = deadline((signal) => {
    seen = signal
    return never()
  })
  clock.advance(4_999)
  expect(seen?.aborted).toBe(false)
  clock.advance(1)
  expect(seen?.reason).toMatchObject({ message: '5 s are over' })
  await expect(result).rejects.toThrow('5 s are over')
})

test.each([
  [30_000, '30 s'],
  [60_000, '60 s'],
  [120_000, '2 minutes'],
  [300_000, '5 minutes'],
])('withDeadline completes the start of a message: %d ms', async (ms, duration) => {
  const clock = new VirtualClock()
  const result = withDeadline(never, { ms, clock, error: 'no answer' })
  clock.advance(ms)
  await expect(result).rejects.toThrow(new DeadlineError(`no answer within ${duration}`))
})

test('withDeadline rejects with the reason of the caller’s signal', async () => {
  const controller = new AbortController()
  let seen: AbortSignal | undefined
  const { clock, result } = deadline((signal) => {
    seen = signal
    return never()
  }, controller.signal)
  controller.abort(reason)
  await expect(result).rejects.toBe(reason)
  expect(seen?.reason).toBe(reason)
  expect(clock.pending).toBe(0)
})

test('withDeadline handles the rejection of work that fails after the deadline', async () => {
  const unhandled: unknown[] = []
  const listener = (error: unknown) => void unhandled.push(error)
  process.on('unhandledRejection', listener)
  try {
    let fail = (_: Error) => {}
    const { clock, result } = deadline(
      () =>
        new Promise((_, reject) => {
          fail = reject
        }),
    )
    clock.advance(5_000)
    await expect(result).rejects.toThrow('5 s are over')
    fail(new Error('late'))
    // Node reports unhandled rejections after the microtasks of a turn.
    for (let turn = 0; turn < 3; turn++) await new Promise(setImmediate)
    expect(unhandled).toEqual([])
  } finally {
    process.off('unhandledRejection', listener)
  }
})

test('sleep resolves after exactly its duration and removes its listener', async () => {
  const clock = new VirtualClock()
  const { signal } = new AbortController()
  let awake = false
  const sleeping = sleep(1_000, clock, signal).then(() => {
    awake = true
  })
  clock.advance(999)
  for (let turn = 0; turn < 3; turn++) await new Promise(setImmediate)
  expect(awake).toBe(false)
  clock.advance(1)
  await sleeping
  await expect.poll(() => listeners(signal)).toBe(0)
})

test('sleep rejects with the signal’s reason and clears its timer', async () => {
  const clock = new VirtualClock()
  const controller = new AbortController()
  const sleeping = sleep(1_000, clock, controller.signal)
  expect(clock.pending).toBe(1)
  controller.abort(reason)
  await expect(sleeping).rejects.toBe(reason)
  expect(clock.pending).toBe(0)
})

test('sleep keeps the process running', async () => {
  const options: unknown[] = []
  const clock = {
    now: () => 0,
    after(_ms: number, fn: () => void, given?: object) {
      options.push(given)
      fn()
      return () => {}
    },
  }
  await sleep(1_000, clock, new AbortController().signal)
  expect(options).toEqual([{ keepAlive: true }])
})
