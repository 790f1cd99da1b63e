import { expect, test } from 'vitest'
import { SharedReads } from '../../src/cache/shared-reads.js'

/** A store whose reads the test ends, in any order. */
function openStore() {
  const ends: ((text: string) => void)[] = []
  const get = () =>
    new Promise<Uint8Array>((resolve) => {
      ends.push((text) => resolve(Buffer.from(text)))
    })
  return { ends, reads: new SharedReads({ get, put: async () => {}, delete: async () => {} }) }
}

const text = (data: Uint8Array | undefined) => Buffer.from(data ?? []).toString()

test('callers share a read, and a write makes them read again', async () => {
  const { ends, reads } = openStore()
  const callers = [reads.read('a', undefined, text), reads.read('a', undefined, text)]
  expect(ends).toHaveLength(1)
  reads.invalidate('a')
  ends[0]?.('old')
  await expect.poll(() => ends.length).toBe(2)
  ends[1]?.('new')
  expect(await Promise.all(callers)).toEqual(['new', 'new'])
})

test('a stale read that ends late leaves the newer read to the next write', async () => {
  const { ends, reads } = openStore()
  const first = reads.read('a', undefined, text)
  reads.invalidate('a')
  const second = reads.read('a', undefined, text)
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
