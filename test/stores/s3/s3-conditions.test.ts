import { expect, onTestFinished, test } from 'vitest'
import { failure } from '../../support/azure.js'
import { openBucket } from './support.js'

async function setUp(behaviour?: Parameters<typeof openBucket>[0]) {
  const bucket = await openBucket(behaviour)
  onTestFinished(bucket.close)
  return bucket
}

test.each([
  [{ ignores: ['if-none-match', 'if-match'] }, /If-None-Match/],
  [{ ignores: ['if-match'] }, /header If-Match /],
  [{ refuses: 'if-none-match' }, /header If-None-Match/],
  [{ refuses: 'if-match' }, /header If-Match /],
] as const)(
  'tryLock rejects on a service that would grant one lock to several machines: %j',
  async (behaviour, header) => {
    const { s3, tap, store } = await setUp(behaviour)
    const cache = store()
    const refused = expect.objectContaining({
      code: 'ERR_STORE_FAILED',
      message: expect.stringMatching(header),
    })
    await expect(cache.tryLock('a.example')).rejects.toEqual(refused)
    await expect(cache.tryLock('a.example')).rejects.toThrow(
      /^cannot hold locks in bucket "certificates": the service does not support/,
    )
    // Each tryLock tested the service, deleted the test object, and did not write the lock.
    await expect.poll(() => [...s3.objects.keys()]).toEqual([])
    const keys = new Set(tap.take().map((request) => request.split('/').at(-1)))
    expect(keys.size).toBe(2)
    expect(keys).not.toContain('a.example+lock')
    // Operations that need no lock work.
    await cache.put('a.example', Buffer.from('x'))
    expect(await cache.get('a.example')).toHaveLength(1)
  },
)

test('put and tryLock name the checksum settings of the client if the service answers 501 to checksums', async () => {
  const { s3, store } = await setUp({ refuses: 'x-amz-checksum-crc32' })
  for (const operation of [
    () => store().put('a.example', Buffer.from('x')),
    () => store().tryLock('a.example'),
  ]) {
    const error = await failure(operation())
    expect(error).toMatchObject({ code: 'ERR_STORE_FAILED', statusCode: 501 })
    expect(error.message).toMatch(/NotImplemented, status 501.*requestChecksumCalculation: 'WHEN_REQUIRED'/)
    expect(error.message).not.toContain('If-None-Match')
  }
  const cache = store({ client: { requestChecksumCalculation: 'WHEN_REQUIRED' } })
  await cache.put('a.example', Buffer.from('x'))
  const lock = await cache.tryLock('a.example')
  expect(lock?.signal.aborted).toBe(false)
  await lock?.release()
  await expect.poll(() => [...s3.objects.keys()]).toEqual(['a.example', 'a.example+lock'])
})

test('a service that supports conditions is tested once for any number of concurrent locks', async () => {
  const { tap, store } = await setUp()
  const cache = store()
  const locks = await Promise.all(['a.example', 'b.example'].map((name) => cache.tryLock(name)))
  for (const lock of locks) await lock?.release()
  const probes = () => tap.requests.filter((request) => request.includes('/probe-'))
  const asked = () => probes().map((request) => request.split(' ', 1)[0])
  await expect.poll(asked).toEqual(['PUT', 'PUT', 'PUT', 'DELETE'])
  tap.take()
  await (await cache.tryLock('a.example'))?.release()
  expect(tap.take()).toEqual(['GET', 'PUT', 'PUT'].map((method) => `${method} certificates/a.example+lock`))
})

test('a failed test of the service is repeated', async () => {
  const { tap, store } = await setUp()
  const cache = store()
  tap.fault(() => ({ status: 503, code: 'SlowDown' }))
  await expect(cache.tryLock('a.example')).rejects.toThrow(/SlowDown/)
  tap.fault(() => undefined)
  const lock = await cache.tryLock('a.example')
  expect(lock?.signal.aborted).toBe(false)
  await lock?.release()
})

test('tryLock resolves with undefined when another conditional write is in progress', async () => {
  const { tap, store } = await setUp()
  const cache = store()
  await (await cache.tryLock('b.example'))?.release()
  tap.fault((method) => (method === 'PUT' ? { status: 409, code: 'ConditionalRequestConflict' } : undefined))
  expect(await cache.tryLock('a.example')).toBeUndefined()
})
