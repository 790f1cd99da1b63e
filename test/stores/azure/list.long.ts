import { expect, test } from 'vitest'
import { AzureBlobCertCache } from '../../../src/index.js'
import { tappedContainer } from './containers.js'

test('list reads 1,000 blobs per page', async () => {
  const { client, tap, connect } = await tappedContainer()
  const blobs = Array.from({ length: 1_001 }, (_, n) => `host-${String(n).padStart(5, '0')}.example`)
  const waiting = [...blobs]
  const upload = async () => {
    for (let name = waiting.pop(); name; name = waiting.pop()) await client.uploadBlockBlob(name, 'x', 1)
  }
  await Promise.all(Array.from({ length: 20 }, upload))
  const cache = await AzureBlobCertCache.connect(connect)
  tap.take()
  for await (const { name } of cache.list()) {
    expect(name).toBe(blobs[0])
    break
  }
  expect(tap.take()).toHaveLength(1)
  const names: string[] = []
  for await (const { name } of cache.list()) names.push(name)
  expect(names).toEqual(blobs)
  expect(tap.take()).toHaveLength(2)
})
