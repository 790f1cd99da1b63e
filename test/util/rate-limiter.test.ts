import { expect, test } from 'vitest'
import { RateLimiter } from '../../src/util/rate-limiter.js'
import { VirtualClock } from '../support/virtual-clock.js'

const day = 86_400_000

test('allows a burst at once, then one permit per interval', () => {
  const clock = new VirtualClock()
  const limiter = new RateLimiter(clock, 3, 1_000)
  expect(Array.from({ length: 5 }, () => limiter.tryAcquire())).toEqual([0, 0, 0, 1_000, 1_000])
  clock.advance(999)
  expect(limiter.tryAcquire()).toBe(1)
  clock.advance(1)
  expect([limiter.tryAcquire(), limiter.tryAcquire()]).toEqual([0, 1_000])
})

test('accumulates permits while idle, up to the burst', () => {
  const clock = new VirtualClock()
  const limiter = new RateLimiter(clock, 3, 1_000)
  for (let times = 0; times < 3; times++) limiter.tryAcquire()
  clock.advance(2_500)
  expect([limiter.tryAcquire(), limiter.tryAcquire(), limiter.tryAcquire()]).toEqual([0, 0, 500])
  clock.advance(365 * day)
  expect(Array.from({ length: 4 }, () => limiter.tryAcquire())).toEqual([0, 0, 0, 1_000])
})

test('waitMs returns the wait without acquiring a permit', () => {
  const clock = new VirtualClock()
  const limiter = new RateLimiter(clock, 1, 1_000)
  expect([limiter.waitMs, limiter.waitMs]).toEqual([0, 0])
  expect(limiter.tryAcquire()).toBe(0)
  expect([limiter.waitMs, limiter.waitMs]).toEqual([1_000, 1_000])
  clock.advance(1_500)
  expect(limiter.waitMs).toBe(0)
})

test('drain removes every permit, and one returns per interval', () => {
  const clock = new VirtualClock()
  const limiter = new RateLimiter(clock, 100, 1_000)
  limiter.drain()
  expect(limiter.tryAcquire()).toBe(1_000)
  clock.advance(2_000)
  expect([limiter.tryAcquire(), limiter.tryAcquire(), limiter.tryAcquire()]).toEqual([0, 0, 1_000])
})

test('a clock that is set back causes a delay of at most one interval', () => {
  const clock = new VirtualClock()
  const limiter = new RateLimiter(clock, 2, 1_000)
  expect([limiter.tryAcquire(), limiter.tryAcquire(), limiter.tryAcquire()]).toEqual([0, 0, 1_000])
  clock.advance(-30 * day)
  expect(limiter.waitMs).toBe(1_000)
  clock.advance(1_000)
  expect([limiter.tryAcquire(), limiter.tryAcquire()]).toEqual([0, 1_000])
})

test('never exceeds burst plus one per interval in any window', () => {
  const clock = new VirtualClock()
  const limiter = new RateLimiter(clock, 100, 54_000)
  const starts: number[] = []
  const end = clock.now() + day / 2
  while (clock.now() < end) {
    const waitMs = limiter.tryAcquire()
    if (waitMs === 0) starts.push(clock.now())
    else clock.advance(waitMs)
  }
  expect(starts.filter((time) => time === starts[0])).toHaveLength(100)
  expect(starts).toHaveLength(100 + day / 2 / 54_000 - 1)
  // 300 in three hours: Let's Encrypt's limit for new orders of an account.
  for (const [index, time] of starts.slice(300).entries()) {
    expect(time - (starts[index] as number)).toBeGreaterThan(3 * 3_600_000)
  }
})
