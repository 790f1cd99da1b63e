import { expect, test } from 'vitest'
import { type Job, Scheduler } from '../../src/manager/scheduler.js'
import { VirtualClock } from '../support/virtual-clock.js'

const minute = 60_000
const settle = () => new Promise(setImmediate)

/** A scheduler of jobs that run until the test ends them, and the times of its passes. */
function open() {
  const clock = new VirtualClock()
  const start = clock.now()
  const due = new Map<string, number>()
  const running = new Map<string, () => void>()
  const passes: number[] = []
  const starts: string[] = []
  const setBacks: number[] = []
  const closing = new AbortController()
  const run = (id: string) => () => {
    expect(running.has(id)).toBe(false)
    starts.push(id)
    due.delete(id)
    return new Promise<void>((resolve) => running.set(id, resolve))
  }
  const scheduler = new Scheduler({
    *jobs(): Generator<Job> {
      passes.push(clock.now() - start)
      for (const [id, dueAt] of due) yield { id, dueAt, run: run(id) }
    },
    onClockSetBack: (now) => void setBacks.push(now),
    clock,
    closing: closing.signal,
  })
  const add = (id: string, inMs: number) => {
    due.set(id, clock.now() + inMs)
    scheduler.wakeAt(clock.now() + inMs)
  }
  const end = (id: string) => {
    running.get(id)?.()
    running.delete(id)
    return settle()
  }
  const tryStart = (id: string) => scheduler.tryStart({ id, run: run(id) })
  return { clock, start, scheduler, due, passes, starts, setBacks, closing, add, end, tryStart }
}

const names = (count: number) => Array.from({ length: count }, (_, index) => `job ${index}`)

test('a job starts when it is due, and one timer serves all jobs', () => {
  const { clock, starts, passes, add } = open()
  add('late', 3_000)
  add('early', 1_000)
  add('middle', 2_000)
  expect(clock.pending).toBe(1)
  clock.advance(999)
  expect(starts).toEqual([])
  clock.advance(1)
  expect(starts).toEqual(['early'])
  expect(clock.pending).toBe(1)
  clock.advance(2_000)
  expect(starts).toEqual(['early', 'middle', 'late'])
  expect(passes).toEqual([1_000, 2_000, 3_000])
  expect(clock.pending).toBe(1)
})

test('at most 8 jobs run at the same time; the others start 100 ms after the end of one', async () => {
  const { clock, starts, add, end } = open()
  for (const id of names(10)) add(id, 1_000)
  clock.advance(1_000)
  expect(starts).toEqual(names(8))
  clock.advance(1_000)
  expect(starts).toHaveLength(8)
  await end('job 3')
  expect(starts).toHaveLength(8)
  clock.advance(99)
  clock.advance(1)
  expect(starts).toEqual(names(9))
})

test('passes follow each other by at least 100 ms and at most 10 minutes', () => {
  const { clock, scheduler, due, passes, add } = open()
  for (const id of names(9)) due.set(id, 0)
  scheduler.wakeAt(0)
  clock.advance(99)
  expect(passes).toEqual([])
  clock.advance(1)
  expect(passes).toEqual([100])
  // The ninth job waits for one of the eight.
  clock.advance(200)
  expect(passes).toEqual([100, 200, 300])
  due.clear()
  clock.advance(100)
  passes.length = 0
  add('far', 60 * minute)
  clock.advance(30 * minute)
  expect(passes).toEqual([400 + 10 * minute, 400 + 20 * minute, 400 + 30 * minute])
})

test('a request to wake later than planned changes nothing; an earlier one replaces the timer', () => {
  const { clock, start, scheduler, passes } = open()
  scheduler.wakeAt(start + 2_000)
  scheduler.wakeAt(start + 5_000)
  scheduler.wakeAt(start + 1_000)
  expect(clock.pending).toBe(1)
  clock.advance(2_000)
  expect(passes).toEqual([1_000])
})

test('jobs with the same id never run at the same time', async () => {
  const { clock, starts, passes, add, end, tryStart } = open()
  expect(tryStart('a')).toBe(true)
  expect(tryStart('a')).toBe(false)
  expect(tryStart('b')).toBe(true)
  add('a', 1_000)
  clock.advance(2_000)
  expect(starts).toEqual(['a', 'b'])
  // A job whose id is running causes no passes of its own.
  expect(passes).toEqual([1_000])
  await end('a')
  clock.advance(10 * minute)
  expect(starts).toEqual(['a', 'b', 'a'])
})

test('tryStart starts no ninth job', async () => {
  const { starts, end, tryStart } = open()
  expect(names(10).map(tryStart)).toEqual([...new Array(8).fill(true), false, false])
  await end('job 0')
  expect(tryStart('job 9')).toBe(true)
  expect(starts).toEqual([...names(8), 'job 9'])
})

test('a clock that was set back by more than 5 minutes is noticed at the next pass, before the jobs', () => {
  const { clock, start, setBacks, passes, add } = open()
  add('far', 24 * 60 * minute)
  clock.advance(-60 * minute)
  add('near', 1_000)
  // The timer of a virtual clock fires by its time, so the pass follows the wake at the earlier time.
  clock.advance(1_000)
  expect(setBacks).toEqual([start - 60 * minute + 1_000])
  expect(passes).toEqual([-60 * minute + 1_000])
  clock.advance(20 * minute)
  expect(setBacks).toHaveLength(1)
})

test('a clock that was set back by 5 minutes or less is not reported', () => {
  const { clock, scheduler, setBacks, passes } = open()
  scheduler.wakeAt(0)
  clock.advance(-5 * minute)
  scheduler.wakeAt(0)
  clock.advance(100)
  expect(passes).toHaveLength(1)
  expect(setBacks).toEqual([])
})

test('closing cancels the timer, and no job starts afterwards', () => {
  const { clock, starts, closing, add, tryStart } = open()
  add('a', 1_000)
  closing.abort()
  expect(clock.pending).toBe(0)
  expect(tryStart('b')).toBe(false)
  add('c', 500)
  expect(clock.pending).toBe(0)
  clock.advance(20 * minute)
  expect(starts).toEqual([])
})
