import { type ChildProcess, fork } from 'node:child_process'
import { on, once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { TestCa, type TestCaOptions } from '../../src/testing/index.js'
import { openGate } from '../support/gate.js'
import { ShiftingClock } from '../support/shifting-clock.js'
import { handshake } from '../support/tls.js'
import type { StoreSettings } from './open-store.js'
import type { Place, Way } from './places.js'

export interface MachineEvent {
  name: string
  host?: string
  code?: string
  retryAt?: string
  operation?: string
  key?: string
}

/** How a machine differs from a healthy one. */
export interface Sickness {
  /** Replaces the settings of its store, for example its credentials. */
  readonly store?: StoreSettings
  /** Replaces the CA's directory, which is then out of its reach. */
  readonly directoryUrl?: string
  /** How far its clock is ahead, in milliseconds. */
  readonly clockAheadMs?: number
  /** How many file descriptors the process may use. */
  readonly descriptors?: number
}

export type Fleet<W extends Way = Way> = Awaited<ReturnType<typeof openFleet<W>>>
export type Machine<W extends Way = Way> = Awaited<ReturnType<Fleet<W>['machine']>>

/** Opens one store and one CA, and starts machines as processes, each with its own connection to the store. */
export async function openFleet<W extends Way>(place: Place<W>, options: TestCaOptions = {}) {
  const gate = await openGate()
  const clock = new ShiftingClock()
  const ca = await TestCa.start({ tlsPort: gate.port, now: clock.now, ...options })
  const machines: { child: ChildProcess; jump: (ms: number) => Promise<void>; close: () => Promise<void> }[] =
    []

  async function machine(sickness: Sickness = {}) {
    const way = await place.way()
    const { store = way.settings, directoryUrl = ca.directoryUrl, clockAheadMs = 0, descriptors } = sickness
    const child = fork(fileURLToPath(new URL('machine.js', import.meta.url)), {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      ...(descriptors !== undefined && {
        execPath: 'prlimit',
        execArgv: [`--nofile=${descriptors}`, process.execPath],
      }),
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
          store,
          acme: { directoryUrl, ca: ca.endpointCertificate },
          clockAheadMs,
        },
      })
    })
    // The CA reaches the machine that started last, unless a test sets another target.
    gate.target = port
    const started = {
      child,
      port,
      way,
      events,
      /** Makes `count` concurrent handshakes, and returns their serial numbers. */
      handshakes: (host: string, count: number) =>
        Promise.all(Array.from({ length: count }, async () => (await handshake(port, host)).serialNumber)),
      /** Makes one handshake, and returns its serial number, or `undefined` if it fails. */
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
      /** Switches troubles on, and ends all others. */
      async trouble(trouble: object) {
        const troubled = once(child, 'message')
        child.send({ trouble })
        await troubled
      },
      async jump(ms: number) {
        const jumped = once(child, 'message')
        child.send({ jump: ms })
        await jumped
      },
      /** Gives up the rights of root for those of another user. */
      async become(uid: number) {
        child.send({ uid })
        for await (const [{ became }] of on(child, 'message')) if (became === uid) return
      },
      async close() {
        if (child.exitCode === null && child.signalCode === null) {
          const exited = once(child, 'exit')
          child.kill('SIGKILL')
          await exited
        }
        await way.close()
      },
    }
    machines.push(started)
    return started
  }

  return {
    ca,
    clock,
    gate,
    machine,
    machines: (count: number) => Promise.all(Array.from({ length: count }, () => machine())),
    /** Advances the clocks of the CA and of every machine. */
    async jump(ms: number) {
      clock.jump(ms)
      for (const { jump } of machines) await jump(ms)
    },
    /** Returns the keys in the store except locks, since some stores keep released locks. */
    async keys() {
      const names: string[] = []
      for await (const { name } of place.store.list()) if (!name.endsWith('+lock')) names.push(name)
      return names.sort()
    },
    async close() {
      for (const { close } of machines) await close()
      await ca.close()
      await gate.close()
      await place.close()
    },
  }
}
