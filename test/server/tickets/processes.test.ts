import { type ChildProcess, fork } from 'node:child_process'
import { on, once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect, type SecureVersion } from 'node:tls'
import { fileURLToPath } from 'node:url'
import { afterEach, expect, test } from 'vitest'
import { DirCertCache } from '../../../src/index.js'
import { makeBundle } from '../../support/certificates.js'
import type { Report, Settings } from './machine.js'

const hour = 3_600_000
const host = 'a.example'
const closers: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

/** Starts machines with one folder in common. Each is a process with a number of cluster workers; 0 has no cluster. */
async function startFleet(workersOfMachines: readonly number[]) {
  const folder = await mkdtemp(join(tmpdir(), 'acme-cert-cache-tickets-'))
  closers.push(() => rm(folder, { recursive: true }))
  const { data } = await makeBundle({ host, notBefore: new Date(Date.now() - hour) })
  await new DirCertCache(folder).put(host, data, {})
  // Keys are replaced every 12 hours: the machines start in the middle of such a time.
  const aheadMs = 12 * hour - ((Date.now() + 6 * hour) % (12 * hour))
  const machines = workersOfMachines.map((workers, index) => {
    const settings: Settings = { folder, host, aheadMs, workers }
    const child = fork(fileURLToPath(new URL('machine.js', import.meta.url)), [`--machine=${index}`], {
      env: { ...process.env, MACHINE: JSON.stringify(settings) },
    })
    closers.push(() => kill(child))
    const messages = on(child, 'message')
    /** Resolves with the next report of each process of the machine. */
    async function reports() {
      const received: Report[] = []
      for (let count = 0; count < Math.max(workers, 1); count++)
        received.push((await messages.next()).value[0])
      return received
    }
    return { child, reports }
  })
  const started = await Promise.all(machines.map(({ reports }) => reports()))

  /** Advances the clocks of all processes. Resolves with the number of ticket keys in use. */
  async function jump(ms: number): Promise<number> {
    for (const { child } of machines) child.send({ jump: ms })
    const reports = await Promise.all(machines.map((machine) => machine.reports()))
    return new Set(reports.flat().map(({ ticketKey }) => ticketKey)).size
  }
  // A process that does not get the lock of the seeds looks again after a second, which passes in real time: a jump could
  // end an operation of the store.
  await expect.poll(() => jump(0)).toBe(1)
  return { ports: started.map(([first]) => first?.port as number), jump }
}

async function kill(child: ChildProcess) {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = once(child, 'exit')
  child.disconnect()
  await exited
}

/** A client that keeps its newest session, as browsers do. */
class Client {
  readonly version: SecureVersion
  #session: Buffer | undefined

  constructor(version: SecureVersion) {
    this.version = version
  }

  /** Connects. Resolves with the process that answers, and whether the session was resumed. */
  async connect(port: number) {
    const socket = connect({
      host: '127.0.0.1',
      port,
      servername: host,
      minVersion: this.version,
      maxVersion: this.version,
      rejectUnauthorized: false,
      ...(this.#session && { session: this.#session }),
    })
    socket.on('session', (session: Buffer) => {
      this.#session = session
    })
    const [pid] = await once(socket, 'data')
    const isResumed = socket.isSessionReused()
    socket.destroy()
    return { pid: String(pid), isResumed }
  }
}

test('clients resume at other machines and cluster workers, with one full handshake per rotation', async () => {
  const { ports, jump } = await startFleet([2, 0])
  const clients = (['TLSv1.2', 'TLSv1.3'] as const).flatMap((version) =>
    Array.from({ length: 5 }, () => new Client(version)),
  )
  /** Connects every client at each machine in turn. Returns the results of each client. */
  async function reconnect(times: number) {
    const results = clients.map((): Awaited<ReturnType<Client['connect']>>[] => [])
    for (let time = 0; time < times; time++)
      for (const [index, client] of clients.entries())
        results[index]?.push(await client.connect(ports[time % ports.length] as number))
    return results
  }
  const countResumed = (results: readonly { isResumed: boolean }[]) =>
    results.filter(({ isResumed }) => isResumed).length

  for (const client of clients) await client.connect(ports.at(-1) as number)
  const results = (await reconnect(10)).flat()
  expect(results).toHaveLength(100)
  expect(countResumed(results)).toBeGreaterThanOrEqual(95)
  expect(new Set(results.map(({ pid }) => pid)).size).toBe(3)

  expect(await jump(12 * hour)).toBe(1)
  for (const afterRotation of await reconnect(4)) {
    // The first one shows that the key was replaced.
    expect(afterRotation[0]).toMatchObject({ isResumed: false })
    expect(countResumed(afterRotation)).toBeGreaterThanOrEqual(3)
  }
})
