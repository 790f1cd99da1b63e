import { expect, test, vi } from 'vitest'
import { SingleFlight } from '../../src/util/single-flight.js'

test('callers with the same key share one call', async () => {
  const calls = new SingleFlight<string>()
  const work = vi.fn(async () => 'value')
  const first = calls.run('key', work)
  expect(calls.run('key', work)).toBe(first)
  expect([calls.get('key'), calls.get('other'), calls.size]).toEqual([first, undefined, 1])
  expect(await first).toBe('value')
  expect(work).toHaveBeenCalledOnce()
})

test('each key has its own call', async () => {
  const calls = new SingleFlight<string>()
  const results = ['a', 'b'].map((key) => calls.run(key, async () => key))
  expect(calls.size).toBe(2)
  expect(await Promise.all(results)).toEqual(['a', 'b'])
})

test('forgets a call that resolved or rejected', async () => {
  const calls = new SingleFlight<string>()
  await expect(calls.run('key', () => Promise.reject(new Error('down')))).rejects.toThrow('down')
  expect(calls.size).toBe(0)
  expect(await calls.run('key', async () => 'value')).toBe('value')
  expect(calls.get('key')).toBeUndefined()
})

test('forget makes the next caller start a new call, which the end of the former one does not remove', async () => {
  const calls = new SingleFlight<string>()
  let endFirst = (_: string) => {}
  const first = calls.run('key', () => new Promise((resolve) => (endFirst = resolve)))
  expect(calls.forget('key')).toBe(first)
  expect(calls.forget('key')).toBeUndefined()
  const second = calls.run('key', () => new Promise(() => {}))
  endFirst('late')
  expect(await first).toBe('late')
  expect(calls.get('key')).toBe(second)
})
