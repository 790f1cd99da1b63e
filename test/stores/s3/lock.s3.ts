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

/** A process of its own that asks for the lock of a.example. */
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
  test('a killed holder’s is taken over within a minute, by one', async ({ expect }) => {
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

  test('a stolen lock aborts the signal, and its release leaves the thief’s alone', async ({ expect }) => {
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

  test('a lock that is free again is had at once', async ({ expect }) => {
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
  test('what is wrong is told as such', async ({ expect }) => {
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
    // This server has a code of its own for it, with the status of a miss.
    await expect(reading('nobody')).rejects.toMatchObject({ name: 'StoreError', statusCode: 404 })
  })
})
