import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { describe, type ExpectStatic, test, vi } from 'vitest'
import { type ActiveFault, type Fault, TestCa } from '../../src/testing/index.js'
import type { StoreSettings } from '../fleet/open-store.js'
import { allEndpoints } from './ca-cases.js'

// Every child mostly waits, up to 8 s for an order that is finalized.
vi.setConfig({ maxConcurrency: 4 })

const program = fileURLToPath(new URL('close-machine.js', import.meta.url))
const forever = 2 ** 31 - 1
/**
 * What README and documentation promise for `close()`, by the child's own clock, and 2 s for the child's other work. The
 * shortest limit that a wrong close() could wait for instead is that of a request to the CA, 30 s: a machine may be
 * busy for 2 s without hiding it.
 */
const maxCloseMs = 10_000 + 2_000
/** What keeps the process running after close() is a timer or connection of at least 30 s; nothing else waits. */
const maxEndMs = 10_000

interface Message {
  listening?: number
  answered?: string
  ordering?: true
  closed?: { ms: number; outcome: string }
}

/** Creates the process of a machine with its own store and CA. */
async function openMachine() {
  const ca = await TestCa.start({ challengeTypes: ['tls-alpn-01'] })
  const folder = await mkdtemp(join(tmpdir(), 'close-'))
  const child = fork(program, {
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
    // It warns that an order was still in progress, as it should.
    execArgv: ['--disable-warning=CertCacheWarning'],
  })
  const exited = once(child, 'exit')
  const output = text(child.stdout as NodeJS.ReadableStream)
  const messages: Message[] = []
  child.on('message', (message: Message) => messages.push(message))
  /** Resolves with the message that `find` returns something of, once it has arrived. */
  async function received<T>(find: (message: Message) => T | undefined): Promise<T> {
    for (;;) {
      for (const message of messages) {
        const found = find(message)
        if (found !== undefined) return found
      }
      const next = await Promise.race([once(child, 'message'), exited.then(() => 'exited' as const)])
      if (next === 'exited' && !messages.some((message) => find(message) !== undefined))
        throw new Error(`the machine ended with ${child.exitCode ?? child.signalCode} too early`)
    }
  }
  return {
    ca,
    received,
    async start() {
      const { directoryUrl, endpointCertificate } = ca
      const store: StoreSettings = { kind: 'dir', path: folder }
      child.send({ start: { store, acme: { directoryUrl, ca: endpointCertificate } } })
      ca.tlsPort = await received(({ listening }) => listening)
    },
    async order() {
      child.send({ order: true })
      await received(({ ordering }) => ordering)
    },
    /** Resolves when the process has ended by itself, with what it has reported and its store's keys. */
    async close() {
      child.send({ close: true })
      const { ms, outcome } = await received(({ closed }) => closed)
      const exit = await exited
      return { ms, outcome, exit, endMs: Number(await output), keys: (await readdir(folder)).sort() }
    },
    async [Symbol.asyncDispose]() {
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL')
      await exited
      await ca.close()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

type Machine = Awaited<ReturnType<typeof openMachine>>

/** Brings the machine's order to a point at which it waits. Returns the fault that makes it wait, if there is one. */
type Reach = (machine: Machine, expect: ExpectStatic) => Promise<ActiveFault | undefined>

/** Waits for a request that the CA never answers. */
const hanging =
  (fault: Fault): Reach =>
  async ({ ca, order }, expect) => {
    const active = ca.fault({ times: Number.POSITIVE_INFINITY, hang: true, ...fault })
    await order()
    await expect.poll(() => active.hits).toBe(1)
    return active
  }

/** Waits for the rest of a response. */
const stalling =
  (on: Fault['on']): Reach =>
  async ({ ca, order, received }) => {
    const active = ca.fault({ on, breakOff: 'stall', times: Number.POSITIVE_INFINITY })
    await order()
    await received(({ answered }) => answered === on || undefined)
    return active
  }

/** Waits for the CA to finish an order in this state. */
const slow =
  (settings: { validationDelayMs?: number; issuanceDelayMs?: number }, endpoint: string): Reach =>
  async ({ ca, order, received }) => {
    Object.assign(ca, settings)
    await order()
    await received(({ answered }) => answered === endpoint || undefined)
    return undefined
  }

const points: [string, Reach][] = [
  ...allEndpoints.map((on): [string, Reach] => [`${on} request has no response`, hanging({ on })]),
  ...allEndpoints
    // The response to a HEAD request has no body to break off.
    .filter((on) => on !== 'newNonce')
    .map((on): [string, Reach] => [`${on} response stalls after the request took effect`, stalling(on)]),
  ['validation has not begun', slow({ validationDelayMs: forever }, 'challenge')],
  ['certificate is not issued yet', slow({ issuanceDelayMs: forever }, 'finalize')],
  [
    'poll of the finalized order has no response',
    async ({ ca, order }, expect) => {
      ca.issuanceDelayMs = forever
      await order()
      await expect.poll(() => ca.orders[0]?.status).toBe('processing')
      const active = ca.fault({ on: 'order', hang: true, times: Number.POSITIVE_INFINITY })
      await expect.poll(() => active.hits).toBe(1)
      return active
    },
  ],
  [
    'order has just been requested',
    async ({ order }) => {
      await order()
      return undefined
    },
  ],
]

describe('close() takes at most 10 s, rejects the waiters and lets the process end while the', () => {
  test.concurrent.for(points)('%s', async ([, reach], { expect }) => {
    await using machine = await openMachine()
    await machine.start()
    const fault = await reach(machine, expect)
    const { ms, outcome, exit, endMs, keys } = await machine.close()
    expect({ outcome, exit }).toEqual({ outcome: 'ERR_CLOSED', exit: [0, null] })
    expect(ms).toBeLessThanOrEqual(maxCloseMs)
    expect(endMs).toBeLessThanOrEqual(maxEndMs)
    if (fault) expect(fault.hits).toBe(1)
    // Neither a certificate nor a challenge answer, nor a failure: it was not the host's.
    expect(keys.filter((key) => key.startsWith('a.example') && !key.endsWith('+lock'))).toEqual([])
  })
})
