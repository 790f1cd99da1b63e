import { expect, test } from 'vitest'
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
