import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'

const main = createRequire(import.meta.url).resolve('azurite/dist/src/blob/main.js')

/**
 * Starts Azurite, Microsoft's emulator of Azure Blob Storage, in a process of its own: in memory, on a free
 * port of the loopback interface, with an account and key made for this run.
 * @param more further arguments
 */
export async function startAzurite(/** @type {readonly string[]} */ more = []) {
  const accountName = 'fleet'
  const accountKey = randomBytes(32).toString('base64')
  const args = [
    main,
    '--inMemoryPersistence',
    '--disableTelemetry',
    '--skipApiVersionCheck',
    '--silent',
    '--blobHost=127.0.0.1',
    '--blobPort=0',
    ...more,
  ]
  const child = spawn(process.execPath, args, {
    cwd: tmpdir(),
    env: { ...process.env, AZURITE_ACCOUNTS: `${accountName}:${accountKey}` },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const origin = await listeningOn(child)
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

/** @param {import('node:child_process').ChildProcessByStdio<null, import('node:stream').Readable, import('node:stream').Readable>} child */
function listeningOn(child) {
  let said = ''
  return new Promise((resolve, reject) => {
    /** @param {Buffer} chunk */
    const listen = (chunk) => {
      said += chunk
      const origin = /successfully listens on (https?:\/\/\S+)/.exec(said)?.[1]
      if (origin) resolve(origin)
    }
    child.stdout.on('data', listen)
    child.stderr.on('data', listen)
    child.once('error', reject)
    child.once('exit', (code) => reject(new Error(`Azurite ended with ${code} before it listened:\n${said}`)))
  })
}
