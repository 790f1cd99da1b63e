import { expect, onTestFinished, test, vi } from 'vitest'
import { S3CertCache } from '../../../src/stores/s3/index.js'

test('the constructor throws a TypeError that names the wrong option', () => {
  const client = { send: async () => ({}) }
  const wrong = [
    [() => new S3CertCache({} as never, 'b'), /client/],
    [() => new S3CertCache(client, ''), /bucket/],
    [() => new S3CertCache(client, { bucket: 'b' } as never), /bucket/],
    [() => new S3CertCache(client, 'b', 'tls/' as never), /options/],
    [() => new S3CertCache(client, 'b', null as never), /options/],
    [() => new S3CertCache(client, 'b', { prefix: 'a:b' }), /prefix/],
    [() => new S3CertCache(client, 'b', { prefix: 'é' }), /prefix/],
    [() => new S3CertCache(client, 'b', { timeoutMs: 0 }), /timeoutMs/],
    [() => new S3CertCache(client, 'b', { timeoutMs: 300_001 }), /timeoutMs/],
    [() => new S3CertCache(client, 'b', { serverSideEncryption: 'aes' as never }), /serverSideEncryption/],
  ] as const
  for (const [make, name] of wrong) {
    expect(make).toThrow(TypeError)
    expect(make).toThrow(name)
  }
})

test('an operation times out after 5 s unless timeoutMs is set', async () => {
  vi.useFakeTimers()
  onTestFinished(() => void vi.useRealTimers())
  const settled: unknown[] = []
  const client = { send: () => new Promise(() => {}) }
  new S3CertCache(client, 'b').get('a.example').catch((error) => settled.push(error))
  await vi.advanceTimersByTimeAsync(4_999)
  expect(settled).toEqual([])
  await vi.advanceTimersByTimeAsync(1)
  expect(settled).toMatchObject([{ code: 'ERR_STORE_TIMEOUT' }])
})

test('put writes the content type of azcertcache, and tryLock plain text', async () => {
  const inputs: { Key?: string; ContentType?: string }[] = []
  const client = {
    async send({ input }: { input: { Key?: string; ContentType?: string; Body?: unknown } }) {
      if (input.Body) inputs.push(input)
      return { ETag: '"x"' }
    },
  }
  const cache = new S3CertCache(client as never, 'b')
  await cache.put('a.example', Buffer.from('x'))
  // This service grants every conditional write.
  await expect(cache.tryLock('a.example')).rejects.toMatchObject({ code: 'ERR_STORE_FAILED' })
  expect(inputs.map(({ ContentType }) => ContentType)).toEqual([
    'application/x-pem-file',
    'text/plain',
    'text/plain',
  ])
})

test('tryLock rejects if the service does not return the ETag of a write', async () => {
  const cache = new S3CertCache({ send: async () => ({}) }, 'b')
  await expect(cache.tryLock('a.example')).rejects.toMatchObject({
    code: 'ERR_STORE_FAILED',
    message: expect.stringContaining('ETag'),
  })
})
