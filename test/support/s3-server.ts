import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { access, constants, mkdtemp, rm } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { CreateBucketCommand, ListBucketsCommand, S3Client } from '@aws-sdk/client-s3'

const credentials = { accessKeyId: 'test', secretAccessKey: randomUUID() }
const startAttempts = 5
const startTimeoutMs = 20_000

/** Returns the settings of a client for {@link startS3Server}. */
export const clientSettings = (endpoint: string) => ({
  endpoint,
  region: 'us-east-1',
  credentials,
  forcePathStyle: true,
})

/**
 * Starts versitygw, a real S3 server, on a temporary folder. It checks the conditions of a write under a lock of the key.
 * @throws Error when the binary is not installed or does not start
 */
export async function startS3Server() {
  const binary = await findBinary()
  for (let attempt = 1; ; attempt++) {
    const server = await startOnce(binary)
    if (server !== 'port taken') return server
    if (attempt === startAttempts) throw new Error('versitygw found no free port')
  }
}

async function startOnce(binary: string) {
  const folder = await mkdtemp(join(tmpdir(), 's3-server-'))
  const port = await freePort()
  const args = ['--quiet', '--keep-alive', '--port', `127.0.0.1:${port}`, 'posix', folder]
  const child = spawn(binary, args, {
    env: { ROOT_ACCESS_KEY: credentials.accessKeyId, ROOT_SECRET_KEY: credentials.secretAccessKey },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (chunk: string) => {
      if (output.length < 20_000) output += chunk
    })
  }
  const ended = once(child, 'close')
  const kill = () => child.kill('SIGKILL')
  process.once('exit', kill)
  const close = async () => {
    kill()
    await ended
    process.off('exit', kill)
    await rm(folder, { recursive: true, force: true })
  }
  const endpoint = `http://127.0.0.1:${port}`
  const client = new S3Client(clientSettings(endpoint))
  const deadline = AbortSignal.timeout(startTimeoutMs)
  for (;;) {
    // Only the server started here accepts these credentials.
    const ready = await client.send(new ListBucketsCommand()).then(
      () => true,
      () => false,
    )
    if (ready) break
    if (child.exitCode !== null || deadline.aborted) {
      await close()
      if (/address already in use/.test(output)) return 'port taken'
      throw new Error(`versitygw did not start:\n${output}`)
    }
    await sleep(20)
  }
  return {
    endpoint,
    client,
    /** Creates an empty bucket and returns its name. */
    async freshBucket() {
      const Bucket = `t-${randomUUID()}`
      await client.send(new CreateBucketCommand({ Bucket }))
      return Bucket
    },
    close: async () => {
      client.destroy()
      await close()
    },
  }
}

async function freePort(): Promise<number> {
  const server = createServer()
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const { port } = server.address() as AddressInfo
  await once(server.close(), 'close')
  return port
}

/** Finds versitygw: S3_SERVER_BIN, or if that is not set, in `.cache/bin` (where `.ci/run` installs it) or PATH. */
async function findBinary(): Promise<string> {
  const configured = process.env.S3_SERVER_BIN
  const cacheFolder = fileURLToPath(new URL('../../.cache/bin', import.meta.url))
  const folders = [cacheFolder, ...(process.env.PATH ?? '').split(delimiter)]
  const candidates = configured ? [configured] : folders.map((folder) => join(folder, 'versitygw'))
  for (const candidate of candidates) {
    const isExecutable = await access(candidate, constants.X_OK).then(
      () => true,
      () => false,
    )
    if (isExecutable) return candidate
  }
  throw new Error(
    `${configured ?? 'versitygw'} is not there. Install it with: ` +
      'GOBIN=$PWD/.cache/bin go install github.com/versity/versitygw/cmd/versitygw@v1.8.0 ' +
      '(or name the program in S3_SERVER_BIN)',
  )
}
