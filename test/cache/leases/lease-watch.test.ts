import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { LeaseWatch } from '../../../src/cache/leases/lease-watch.js'

beforeEach(() => {
  vi.useFakeTimers()
})
afterEach(() => {
  vi.useRealTimers()
})

test('a lock expires 30 s after its version was first seen', () => {
  const watch = new LeaseWatch()
  expect(watch.hasExpired('a', '1')).toBe(false)
  vi.advanceTimersByTime(29_999)
  expect(watch.hasExpired('a', '1')).toBe(false)
  vi.advanceTimersByTime(1)
  expect([watch.hasExpired('a', '1'), watch.hasExpired('b', '1')]).toEqual([true, false])
})

test('a renewal starts the 30 s again, and so does forget', () => {
  const watch = new LeaseWatch()
  watch.hasExpired('a', '1')
  watch.hasExpired('b', '1')
  vi.advanceTimersByTime(30_000)
  watch.forget('b')
  expect([watch.hasExpired('a', '2'), watch.hasExpired('b', '1')]).toEqual([false, false])
})

test('ignores changes of the system clock', () => {
  const watch = new LeaseWatch()
  watch.hasExpired('a', '1')
  vi.setSystemTime(Date.now() + 86_400_000)
  expect(watch.hasExpired('a', '1')).toBe(false)
})
