import { expect, test } from 'vitest'
import { MemoryCertCache } from '../../src/testing/index.js'

test('put copies a Buffer, whose slice() would share its memory', async () => {
  const cache = new MemoryCertCache()
  const data = Buffer.from('value')
  const written = cache.put('a.example', data)
  data.fill(0)
  await written
  expect(Buffer.from((await cache.get('a.example')) ?? []).toString()).toBe('value')
})
