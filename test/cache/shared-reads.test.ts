import { expect, test, vi } from 'vitest'
import { SharedReads } from '../../src/cache/shared-reads.js'

/** Reads of a store that the test ends, in any order. */
function openStore() {
  const ends: ((text: string) => void)[] = []
  const get = () =>
    new Promise<Uint8Array>((resolve) => {
      ends.push((text) => resolve(Buffer.from(text)))
    })
  const reads = new SharedReads<Uint8Array>()
  return { ends, reads, read: () => reads.read('a', get, undefined, (data) => Buffer.from(data).toString()) }
}

test('callers share a read, and a write makes them read again', async () => {
  const { ends, reads, read } = openStore()
  const callers = [read(), read()]
  expect(ends).toHaveLength(1)
  reads.invalidate('a')
  ends[0]?.('old')
  await expect.poll(() => ends.length).toBe(2)
  ends[1]?.('new')
  expect(await Promise.all(callers)).toEqual(['new', 'new'])
})

test('a stale read that ends late leaves the newer read to the next write', async () => {
  const { ends, reads, read } = openStore()
  const first = read()
  reads.invalidate('a')
  const second = read()
  ends[0]?.('first')
  // The first caller joins the second read as soon as its own has ended.
  await new Promise((resolve) => setImmediate(resolve))
  expect(ends).toHaveLength(2)
  reads.invalidate('a')
  ends[1]?.('second')
  await expect.poll(() => ends.length).toBe(3)
  ends[2]?.('third')
  expect(await Promise.all([first, second])).toEqual(['third', 'third'])
})

test('the value is not used for a caller that has aborted', async () => {
  const { ends, reads, read } = openStore()
  const controller = new AbortController()
  const waiting = read()
  const load = () => expect.unreachable('loaded twice')
  const use = vi.fn()
  const second = reads.read('a', load, controller.signal, use)
  controller.abort(new Error('enough'))
  ends[0]?.('value')
  await expect(second).rejects.toThrow('enough')
  expect(await waiting).toBe('value')
  expect(use).not.toHaveBeenCalled()
})
