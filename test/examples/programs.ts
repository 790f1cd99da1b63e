import { spawn } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { expect, onTestFinished } from 'vitest'
import { TestCa } from '../../src/testing/index.js'
import { azurite } from '../support/azure.js'
import { handshake } from '../support/tls.js'

/** The folder of the examples. */
export const examples: string = fileURLToPath(new URL('../../examples/', import.meta.url))

export const host = 'shop.example'

export type Program = Awaited<ReturnType<typeof startProgram>>

/** Returns the environment of a program that uses Azurite. */
export function azureEnvironment() {
  const { accountName, accountKey, endpoint } = azurite()
  const AZURE_STORAGE_CONNECTION_STRING = `DefaultEndpointsProtocol=http;AccountName=${accountName};AccountKey=${accountKey};BlobEndpoint=${endpoint};`
  return { AZURE_STORAGE_CONNECTION_STRING }
}

/** Starts `file` with this environment and no other, and collects what it prints. */
export function run(file: string, env: Record<string, string> = {}, args: string[] = []) {
  const child = spawn(process.execPath, [...args, file], {
    cwd: examples,
    env: { PATH: process.env.PATH, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const ended = once(child, 'close').then(([code, signal]) => ({ code, signal }))
  onTestFinished(async () => {
    child.kill('SIGKILL')
    await ended
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (chunk: string) => {
      output += chunk
    })
  return { child, ended, output: () => output }
}

/** Starts an example's server with a test CA that validates at its ports, and waits until it listens. */
export async function startProgram(
  name: string,
  env: Record<string, string>,
  listensOn: readonly ('http' | 'https')[] = ['http', 'https'],
) {
  const ca = await TestCa.start()
  onTestFinished(() => ca.close())
  const folder = await mkdtemp(join(tmpdir(), 'acme-cert-cache-example-'))
  onTestFinished(() => rm(folder, { recursive: true }))
  const NODE_EXTRA_CA_CERTS = join(folder, 'ca.pem')
  await writeFile(NODE_EXTRA_CA_CERTS, ca.endpointCertificate)
  for (;;) {
    const ports = { http: await unusedPort(), https: await unusedPort() }
    Object.assign(ca, { httpPort: ports.http, tlsPort: ports.https })
    const program = run(`${name}/server.js`, {
      NODE_EXTRA_CA_CERTS,
      ACME_DIRECTORY_URL: ca.directoryUrl,
      HOSTS: host,
      HTTP_PORT: String(ports.http),
      HTTPS_PORT: String(ports.https),
      ...env,
    })
    const isRunning = () => program.child.exitCode === null && program.child.signalCode === null
    for (const port of listensOn.map((protocol) => ports[protocol])) {
      while (isRunning() && !(await accepts(port))) await sleep(20)
    }
    if (isRunning()) return { ...program, ca, port: ports.https }
    await program.ended
    if (!/EADDRINUSE/.test(program.output())) throw new Error(`${name} ended:\n${program.output()}`)
  }
}

/** Makes a handshake, and expects a certificate of this program's CA for the host. */
export async function expectCertificate({ ca, port }: Program, servername: string = host, alpn?: string) {
  const options = { ca: ca.rootCertificate, rejectUnauthorized: true }
  const shown = await handshake(port, servername, { ...options, ...(alpn && { ALPNProtocols: [alpn] }) })
  expect(shown).toMatchObject({ authorized: true, names: `DNS:${servername}` })
  expect(ca.issued.map(({ serialNumber }) => serialNumber)).toContain(shown.serialNumber)
  expect(ca.ordersFor(servername)).toBe(1)
  return shown
}

/** Sends SIGTERM, and expects status 0. */
export async function expectToStop({ child, ended, output }: ReturnType<typeof run>) {
  child.kill('SIGTERM')
  expect(await ended, output()).toEqual({ code: 0, signal: null })
}

/**
 * Returns a port on which nothing listens, outside the range from which Linux takes ports for others
 * (ip_local_port_range).
 */
async function unusedPort(): Promise<number> {
  for (;;) {
    const port = randomInt(10_000, 32_000)
    const server = createServer()
    const isUnused = await new Promise<boolean>((resolve) => {
      server.once('error', () => resolve(false))
      server.listen(port, () => resolve(true))
    })
    if (!isUnused) continue
    await once(server.close(), 'close')
    return port
  }
}

/** Resolves with whether something listens on the port. */
export async function accepts(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1')
  try {
    await once(socket, 'connect')
    return true
  } catch {
    return false
  } finally {
    socket.destroy()
  }
}
