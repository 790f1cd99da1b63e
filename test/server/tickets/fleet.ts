import * as https from 'node:https'
import type * as tls from 'node:tls'
import { expect, onTestFinished } from 'vitest'
import type { CertManagerOptions } from '../../../src/index.js'
import { LockingStore } from '../../support/locking-store.js'
import { storedHosts } from '../../support/stored-host.js'
import { listen, readGreeting } from '../../support/tls.js'
import { VirtualClock } from '../../support/virtual-clock.js'

export const hosts = ['a.example', 'b.example']

/** A fleet: machines with a store and a clock in common. */
export function openFleet(options: Partial<CertManagerOptions> = {}, store = new LockingStore()) {
  const clock = new VirtualClock(Date.now())
  /** Starts a machine: a manager, and a server that is attached to it. */
  async function machine(server: tls.TlsOptions = {}, own: Partial<CertManagerOptions> = {}) {
    const { manager } = await storedHosts(hosts, { sessionTickets: true, clock, ...options, ...own }, store)
    const { ca } = server
    const listening = https.createServer({ ...manager.tlsOptions(ca ? { ca: ca as string } : {}), ...server })
    listening.on('secureConnection', (socket) => socket.write(String(socket.authorized)))
    listening.on('tlsClientError', () => {})
    onTestFinished(async () => {
      await manager.close()
      listening.close()
    })
    const failures: { operation: string; key: string }[] = []
    manager.on('storeFailed', (failure) => failures.push(failure))
    manager.attach(listening)
    return { manager, server: listening, port: await listen(listening), failures }
  }
  /** Waits until servers have the same key for tickets. Who does not get the lock looks again every second. */
  const agree = (...servers: tls.Server[]) =>
    expect
      .poll(() => {
        clock.advance(1_500)
        return new Set(servers.map((server) => server.getTicketKeys().toString('hex'))).size
      })
      .toBe(1)
  return { clock, store, machine, agree }
}

/** Connects; resolves with whether the session was resumed, and the next session. */
export async function connect(port: number, options: tls.ConnectionOptions = {}) {
  const { session = options.session, ...greeting } = await readGreeting(port, options)
  return { ...greeting, session }
}
