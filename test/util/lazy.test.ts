import { expect, test, vi } from 'vitest'
import { importDependency, lazy } from '../../src/util/lazy.js'

test('loads once, at the first call, and returns the shared promise', async () => {
  const load = vi.fn(async () => 'value')
  const get = lazy(load)
  expect([load.mock.calls.length, get.current]).toEqual([0, undefined])
  const first = get()
  expect(get.current).toBe(first)
  expect(get()).toBe(first)
  expect(await first).toBe('value')
  expect(get()).toBe(first)
  expect(load).toHaveBeenCalledOnce()
})

test('forgets a rejection before a caller sees it, and loads again', async () => {
  const load = vi
    .fn<() => Promise<string>>()
    .mockRejectedValueOnce(new Error('down'))
    .mockResolvedValue('value')
  const get = lazy(load)
  await expect(get()).rejects.toThrow('down')
  expect(get.current).toBeUndefined()
  expect(await get()).toBe('value')
})

test('loads again after forget, and a late rejection does not end the new load', async () => {
  const rejectLoads: ((error: Error) => void)[] = []
  const get = lazy(() => new Promise<string>((_, reject) => void rejectLoads.push(reject)))
  const first = get()
  get.forget()
  expect(get.current).toBeUndefined()
  const second = get()
  rejectLoads[0]?.(new Error('late'))
  await expect(first).rejects.toThrow('late')
  expect(get.current).toBe(second)
})

test('says how to bundle a dependency that cannot be imported', async () => {
  const cause = new Error('Dynamic require of "tty" is not supported')
  const error = await importDependency('some-package', () => Promise.reject(cause)).catch((thrown) => thrown)
  expect(error).toBeInstanceOf(Error)
  expect(error.message).toBe(
    'cannot load "some-package": Dynamic require of "tty" is not supported. If this program is a bundle, mark "some-package" as external and install it next to the bundle.',
  )
  expect(error.cause).toBe(cause)
})
