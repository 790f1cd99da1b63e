import { getEventListeners } from 'node:events'
import { expect, test } from 'vitest'
import { createMutex } from '../../../src/stores/sql/drivers/mutex.js'
import { withPooledConnection } from '../../../src/stores/sql/drivers/pooled-connection.js'
import { sqlite } from '../../../src/stores/sql/drivers/sqlite.js'

const reason = new Error('enough')

/** Borrows the one connection of a pool and records how it is returned. */
function pooled(run: () => Promise<unknown>, take = async () => 'connection') {
  const controller = new AbortController()
  const returned: boolean[] = []
  const result = withPooledConnection(take, run, (_, usable) => returned.push(usable), controller.signal)
  return {
    controller,
    returned,
    result,
    listeners: () => getEventListeners(controller.signal, 'abort').length,
  }
}

test('a connection is returned after its statement, and its abort listener is removed', async () => {
  const { returned, result, listeners } = pooled(async () => 'rows')
  expect(await result).toBe('rows')
  expect(returned).toEqual([true])
  expect(listeners()).toBe(0)
})

test.each([
  ['40001', true],
  ['ER_LOCK_DEADLOCK', true],
  ['08006', false],
  ['42501', false],
])('after the error %s, a connection is returned as usable: %s', async (code, usable) => {
  const { returned, result, listeners } = pooled(() =>
    Promise.reject(Object.assign(new Error('no'), { code })),
  )
  await expect(result).rejects.toThrow('no')
  expect(returned).toEqual([usable])
  expect(listeners()).toBe(0)
})

test('a connection whose statement is aborted is dropped only once', async () => {
  let fail = (_: Error) => {}
  const { controller, returned, result, listeners } = pooled(
    () =>
      new Promise((_, reject) => {
        fail = reject
      }),
  )
  await expect.poll(listeners).toBe(1)
  controller.abort(reason)
  await expect(result).rejects.toBe(reason)
  expect(returned).toEqual([false])
  fail(new Error('Connection terminated'))
  await new Promise(setImmediate)
  expect(returned).toEqual([false])
})

test('a connection is dropped even if the reason of the abort looks like a conflict', async () => {
  const { controller, returned, result, listeners } = pooled(() => new Promise(() => {}))
  await expect.poll(listeners).toBe(1)
  controller.abort(new Error('database is locked'))
  await expect(result).rejects.toThrow('database is locked')
  expect(returned).toEqual([false])
})

test('a connection that is granted after the signal has aborted is returned unused', async () => {
  let grant = (_: string) => {}
  const take = () =>
    new Promise<string>((resolve) => {
      grant = resolve
    })
  const { controller, returned, result } = pooled(() => expect.unreachable('nothing is sent'), take)
  controller.abort(reason)
  grant('connection')
  await expect(result).rejects.toBe(reason)
  expect(returned).toEqual([true])
})

test('a mutex runs statements one after the other, and continues after a failure', async () => {
  const exclusive = createMutex()
  const { signal } = new AbortController()
  const order: string[] = []
  let finish = () => {}
  const first = exclusive(async () => {
    order.push('first begins')
    await new Promise<void>((resolve) => {
      finish = resolve
    })
    order.push('first fails')
    throw new Error('failed')
  }, signal)
  const second = exclusive(async () => {
    order.push('second')
    return 'rows'
  }, signal)
  await expect.poll(() => order).toEqual(['first begins'])
  finish()
  await expect(first).rejects.toThrow('failed')
  expect(await second).toBe('rows')
  expect(order).toEqual(['first begins', 'first fails', 'second'])
})

test('a mutex never runs a statement that was aborted while it waited', async () => {
  const exclusive = createMutex()
  const controller = new AbortController()
  let finish = () => {}
  const running = exclusive(
    () =>
      new Promise<void>((resolve) => {
        finish = resolve
      }),
    new AbortController().signal,
  )
  const waiting = exclusive(() => expect.unreachable('nothing is sent'), controller.signal)
  controller.abort(reason)
  // The first statement starts in the next microtask.
  await Promise.resolve()
  finish()
  await running
  await expect(waiting).rejects.toBe(reason)
})

test('a statement on SQLite whose caller aborts right after the call is not executed', async () => {
  const executed: string[] = []
  const database = {
    exec: () => undefined,
    prepare: (statement: string) => ({
      all: () => {
        executed.push(statement)
        return []
      },
      run: () => ({ changes: executed.push(statement) }),
    }),
  }
  const controller = new AbortController()
  const rows = sqlite(database).rows('select 1', [], controller.signal)
  const change = sqlite(database).change('delete from t', [], controller.signal)
  controller.abort(new Error('enough'))
  await expect(rows).rejects.toThrow('enough')
  await expect(change).rejects.toThrow('enough')
  expect(executed).toEqual([])
})
