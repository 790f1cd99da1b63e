import { afterEach, expect, test, vi } from 'vitest'
import { checkClock, monotonic, systemClock } from '../../src/util/clock.js'
import { VirtualClock } from '../support/virtual-clock.js'

afterEach(() => {
  vi.useRealTimers()
  vi.restoreAllMocks()
})

test('the system clock reads the system’s time', () => {
  vi.useFakeTimers({ now: 1_000 })
  expect(systemClock.now()).toBe(1_000)
  vi.setSystemTime(5)
  expect(systemClock.now()).toBe(5)
})

test('a timer of the system clock fires once, after its delay', () => {
  vi.useFakeTimers()
  const fn = vi.fn()
  systemClock.after(1_000, fn)
  vi.advanceTimersByTime(999)
  expect(fn).not.toHaveBeenCalled()
  vi.advanceTimersByTime(10_000)
  expect(fn).toHaveBeenCalledOnce()
})

test('a timer that is cancelled is cleared and never fires', () => {
  vi.useFakeTimers()
  const fn = vi.fn()
  const cancel = systemClock.after(1_000, fn)
  cancel()
  expect(vi.getTimerCount()).toBe(0)
  vi.advanceTimersByTime(10_000)
  expect(fn).not.toHaveBeenCalled()
})

test('only a timer with keepAlive keeps the process running', () => {
  const timers = vi.spyOn(globalThis, 'setTimeout')
  const cancel = [
    systemClock.after(60_000, () => {}),
    systemClock.after(60_000, () => {}, {}),
    systemClock.after(60_000, () => {}, { keepAlive: true }),
  ]
  const referenced = timers.mock.results.map(({ value }) => (value as NodeJS.Timeout).hasRef())
  for (const each of cancel) each()
  expect(referenced).toEqual([false, false, true])
})

test('checkClock returns a valid clock unchanged', () => {
  expect(checkClock('clock', systemClock)).toBe(systemClock)
})

test.each([undefined, null, 5, 'now', {}, { now: () => 0 }, { after: () => {} }, { now: 0, after: 0 }])(
  'checkClock throws a TypeError that names the option for %j',
  (value) => {
    expect(() => checkClock('clock', value)).toThrow(TypeError)
    expect(() => checkClock('clock', value)).toThrow(
      /^clock must be a Clock with the methods now and after, not /,
    )
  },
)

test('monotonic reads performance.now() for the system clock', () => {
  vi.useFakeTimers()
  const elapsed = monotonic(systemClock)
  const start = elapsed()
  vi.setSystemTime(0)
  vi.advanceTimersByTime(1_000)
  expect(elapsed() - start).toBe(1_000)
})

test('monotonic removes the backward jumps of another clock', () => {
  const clock = new VirtualClock()
  const elapsed = monotonic(clock)
  const start = elapsed()
  const steps = [1_000, -86_400_000, 500, -1, 250].map((ms) => {
    clock.advance(ms)
    return elapsed() - start
  })
  expect(steps).toEqual([1_000, 1_000, 1_500, 1_500, 1_750])
})
