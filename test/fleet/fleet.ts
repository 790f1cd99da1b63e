import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { TestCa, type TestCaOptions } from '../../src/testing/index.js'
import { azurite, freshContainer } from '../support/azure.js'
import { openGate } from '../support/gate.js'
import { ShiftingClock } from '../support/shifting-clock.js'
import { openTap } from '../support/tap.js'
import { handshake } from '../support/tls.js'

export interface MachineEvent {
  name: string
  host?: string
  code?: string
  retryAt?: string
  operation?: string
  key?: string
}

export type Machine = Awaited<ReturnType<Fleet['machine']>>
export type Fleet = Awaited<ReturnType<typeof openFleet>>

/** One container, one CA, and machines that are processes, each behind a proxy of its own to the container. */
export async function openFleet(options: TestCaOptions = {}) {
  const { client, connect } = await freshContainer()
  const gate = await openGate()
  const clock = new ShiftingClock()
  const ca = await TestCa.start({ tlsPort: gate.port, now: clock.now, ...options })
  const machines: { child: ChildProcess; jump: (ms: number) => Promise<void>; close: () => Promise<void> }[] =
    []

  async function machine() {
    const tap = await openTap(azurite().endpoint)
    const child = fork(fileURLToPath(new URL('machine.js', import.meta.url)), {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    })
    const events: MachineEvent[] = []
    const port = await new Promise<number>((resolve, reject) => {
      child.once('exit', (code) => reject(new Error(`a machine ended with ${code} before it listened`)))
      child.on('message', (message: { listening?: number; event?: MachineEvent }) => {
        if (message.event) events.push(message.event)
        if (message.listening) resolve(message.listening)
      })
      child.send({
        start: {
          azure: { ...connect, endpoint: tap.endpoint },
          acme: { directoryUrl: ca.directoryUrl, ca: ca.endpointCertificate },
        },
      })
    })
    // The last one to start is what the CA reaches, unless a test says otherwise.
    gate.target = port
    const started = {
      child,
      port,
      tap,
      events,
      /** Serial numbers of so many handshakes at once. */
      handshakes: (host: string, count: number) =>
        Promise.all(Array.from({ length: count }, async () => (await handshake(port, host)).serialNumber)),
      /** One handshake; its outcome as a word. */
      attempt: (host: string) =>
        handshake(port, host).then(
          ({ serialNumber }) => serialNumber,
          () => undefined,
        ),
      async kill() {
        const exited = once(child, 'exit')
        child.kill('SIGKILL')
        await exited
      },
      async jump(ms: number) {
        const jumped = once(child, 'message')
        child.send({ jump: ms })
        await jumped
      },
      async close() {
        if (child.exitCode === null && child.signalCode === null) {
          const exited = once(child, 'exit')
          child.kill('SIGKILL')
          await exited
        }
        await tap.close()
      },
    }
    machines.push(started)
    return started
  }

  return {
    ca,
    clock,
    gate,
    container: client,
    machine,
    machines: (count: number) => Promise.all(Array.from({ length: count }, machine)),
    /** Time passes for the CA and for every machine. */
    async jump(ms: number) {
      clock.jump(ms)
      for (const { jump } of machines) await jump(ms)
    },
    async blobs() {
      const names: string[] = []
      for await (const { name } of client.listBlobsFlat()) names.push(name)
      return names.sort()
    },
    async close() {
      for (const { close } of machines) await close()
      await ca.close()
      await gate.close()
    },
  }
}
