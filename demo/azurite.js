import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'

const azuriteMain = createRequire(import.meta.url).resolve('azurite/dist/src/blob/main.js')

/**
 * Starts Azurite, Microsoft's emulator of Azure Blob Storage, in a child process. It stores blobs in memory, listens on
 * a free port of the loopback interface, and has one account with a random key.
 * @param extraArgs further command-line arguments of Azurite
 */
export async function startAzurite(/** @type {readonly string[]} */ extraArgs = []) {
  const accountName = 'fleet'
  const accountKey = randomBytes(32).toString('base64')
  const args = [
    azuriteMain,
    '--inMemoryPersistence',
    '--disableTelemetry',
    '--skipApiVersionCheck',
    '--silent',
    '--blobHost=127.0.0.1',
    '--blobPort=0',
    ...extraArgs,
  ]
  const child = spawn(process.execPath, args, {
    cwd: tmpdir(),
    env: { ...process.env, AZURITE_ACCOUNTS: `${accountName}:${accountKey}` },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const origin = await waitForOrigin(child)
  return {
    accountName,
    accountKey,
    endpoint: `${origin}/${accountName}`,
    async close() {
      if (child.exitCode !== null || child.signalCode !== null) return
      const exited = once(child, 'exit')
      child.kill()
      await exited
    },
  }
}

/**
 * Resolves with the origin that Azurite listens on.
 * @param {import('node:child_process').ChildProcessByStdio<null, import('node:stream').Readable, import('node:stream').Readable>} child
 */
function waitForOrigin(child) {
  let output = ''
  return new Promise((resolve, reject) => {
    /** @param {Buffer} chunk */
    const readChunk = (chunk) => {
      output += chunk
      const origin = /successfully listens on (https?:\/\/\S+)/.exec(output)?.[1]
      if (origin) resolve(origin)
    }
    child.stdout.on('data', readChunk)
    child.stderr.on('data', readChunk)
    child.once('error', reject)
    child.once('exit', (code) =>
      reject(new Error(`Azurite ended with ${code} before it listened:\n${output}`)),
    )
  })
}
