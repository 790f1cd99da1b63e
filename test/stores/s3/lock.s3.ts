import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { PutObjectCommand, S3Client } from '@aws-sdk/client-s3'
import { afterAll, beforeAll, describe, test } from 'vitest'
import { S3CertCache } from '../../../src/stores/s3/index.js'
import { clientSettings, startS3Server } from '../../support/s3-server.js'

let server: Awaited<ReturnType<typeof startS3Server>>
const children: ChildProcess[] = []
beforeAll(async () => {
  server = await startS3Server()
})
afterAll(async () => {
  for (const child of children) await kill(child)
  await server?.close()
})

/** Starts a process that acquires the lock of a.example as soon as it is free. */
function holder(bucket: string) {
  const child = fork(fileURLToPath(new URL('holder.js', import.meta.url)), {
    env: {
      ...process.env,
      S3_SETTINGS: JSON.stringify(clientSettings(server.endpoint)),
      S3_BUCKET: bucket,
      NODE_OPTIONS: '',
    },
  })
  children.push(child)
  const said: unknown[] = []
  child.on('message', (message) => said.push(message))
  return { child, said }
}

async function kill(child: ChildProcess) {
  if (child.exitCode !== null || child.signalCode !== null) return
  child.kill('SIGKILL')
  await once(child, 'exit')
}

describe.concurrent('the lock of S3CertCache on a real server', { timeout: 600_000 }, () => {
  test('one machine takes over a killed holder’s lock within a minute', async ({ expect }) => {
    const bucket = await server.freshBucket()
    const machines = [holder(bucket), holder(bucket), holder(bucket)]
    const having = () => machines.filter(({ said }) => said.includes('has it'))
    await expect.poll(() => machines.every(({ said }) => said.length > 0), { timeout: 120_000 }).toBe(true)
    expect(having()).toHaveLength(1)
    const [first] = having()
    await kill(first!.child)
    const killed = performance.now()
    await expect.poll(() => having().length, { timeout: 60_000 }).toBe(2)
    expect(performance.now() - killed).toBeLessThan(60_000)
    const [next] = having().filter((machine) => machine !== first)
    await kill(next!.child)
    await expect.poll(() => having().length, { timeout: 60_000 }).toBe(3)
  })

  test('a stolen lock aborts its signal, and its release keeps the thief’s lock', async ({ expect }) => {
    const bucket = await server.freshBucket()
    const [cache, other] = [new S3CertCache(server.client, bucket), new S3CertCache(server.client, bucket)]
    const lock = await cache.tryLock('a.example')
    expect(lock?.signal.aborted).toBe(false)
    const Key = 'a.example+lock'
    await server.client.send(new PutObjectCommand({ Bucket: bucket, Key, Body: 'a thief' }))
    await expect.poll(() => lock?.signal.aborted, { timeout: 120_000 }).toBe(true)
    expect(lock?.signal.reason).toMatchObject({ code: 'ERR_LOCK_LOST' })
    await lock?.release()
    expect(Buffer.from((await other.get(Key)) ?? []).toString()).toBe('a thief')
  })

  test('a released lock can be acquired at once', async ({ expect }) => {
    const bucket = await server.freshBucket()
    const [cache, other] = [new S3CertCache(server.client, bucket), new S3CertCache(server.client, bucket)]
    for (const each of [cache, other, cache]) {
      const lock = await each.tryLock('a.example')
      expect(lock).toBeDefined()
      await lock?.release()
    }
  })
})

describe('S3CertCache on a real server', () => {
  test('a missing bucket and wrong credentials reject with their own error codes', async ({ expect }) => {
    const bucket = await server.freshBucket()
    const missing = new S3CertCache(server.client, 'is-not-there')
    await expect(missing.get('a.example')).rejects.toMatchObject({ code: 'ERR_STORE_CONTAINER' })
    await expect(missing.tryLock('a.example')).rejects.toMatchObject({ code: 'ERR_STORE_CONTAINER' })
    const reading = async (accessKeyId: string) => {
      const credentials = { accessKeyId, secretAccessKey: 'wrong' }
      const client = new S3Client({ ...clientSettings(server.endpoint), credentials })
      await new S3CertCache(client, bucket).get('a.example').finally(() => client.destroy())
    }
    await expect(reading('test')).rejects.toMatchObject({ code: 'ERR_STORE_CREDENTIALS' })
    // This server answers an unknown access key with its own code and status 404, like a miss.
    await expect(reading('nobody')).rejects.toMatchObject({ name: 'StoreError', statusCode: 404 })
  })
})
