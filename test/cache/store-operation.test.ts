import { expect, test } from 'vitest'
import { createRunner } from '../../src/cache/store-operation.js'
import { StoreError } from '../../src/index.js'
import { VirtualClock } from '../support/virtual-clock.js'

/** A runner whose misses are errors with the message `miss`. */
function setup() {
  const clock = new VirtualClock()
  const run = createRunner({
    timeoutMs: 5_000,
    clock,
    timeoutMessage: (description) => `too long to ${description}`,
    toStoreError: (thrown, description) =>
      (thrown as Error).message === 'miss'
        ? undefined
        : new StoreError('ERR_STORE_FAILED', `could not ${description}`, { cause: thrown }),
  })
  return { clock, run }
}
const never = () => new Promise<never>(() => {})

test('resolves with the result of the operation, or with undefined for a miss', async () => {
  const { run } = setup()
  expect(await run('read', undefined, async () => 'value')).toBe('value')
  expect(await run('read', undefined, () => Promise.reject(new Error('miss')))).toBeUndefined()
})

test('converts an error, but not a StoreError', async () => {
  const { run } = setup()
  const cause = new Error('down')
  const failure = run('read', undefined, () => Promise.reject(cause))
  await expect(failure).rejects.toMatchObject({ message: 'could not read', cause })
  const own = new StoreError('ERR_STORE_ENTRY', 'too large')
  await expect(run('read', undefined, () => Promise.reject(own))).rejects.toBe(own)
})

test('times out with ERR_STORE_TIMEOUT', async () => {
  const { clock, run } = setup()
  const outcome = run('read', undefined, never)
  clock.advance(5_000)
  await expect(outcome).rejects.toMatchObject({ code: 'ERR_STORE_TIMEOUT', message: 'too long to read' })
})

test('rejects with the reason of the caller’s signal, and does not start if it has aborted', async () => {
  const { run } = setup()
  const controller = new AbortController()
  const reason = new Error('enough')
  const outcome = run('read', controller.signal, never)
  controller.abort(reason)
  await expect(outcome).rejects.toBe(reason)
  await expect(run('read', controller.signal, async () => expect.unreachable())).rejects.toBe(reason)
})
