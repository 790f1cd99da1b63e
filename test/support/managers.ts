import type { EventEmitter } from 'node:events'
import type { SecureContext } from 'node:tls'
import { afterEach, beforeEach, expect } from 'vitest'
import { CertManager, type CertManagerEvents, type CertManagerOptions, type Clock } from '../../src/index.js'
import { TestCa } from '../../src/testing/index.js'
import { type Gate, openGate } from './gate.js'
import { MemoryStore } from './memory-store.js'
import { ShiftingClock } from './shifting-clock.js'
import { startMachine } from './tls.js'

export const day = 86_400_000
export const refusal = { code: expect.stringMatching(/HANDSHAKE_FAILURE/) }

const eventNames = [
  'served',
  'refused',
  'handshakeFailed',
  'loaded',
  'adopted',
  'issued',
  'renewed',
  'issuanceFailed',
  'renewalFailed',
  'invalid',
  'storeFailed',
] as const

/** The pauses before a request is repeated pass at once. */
export const impatient = (clock: Clock): Clock => ({
  now: () => clock.now(),
  after: (ms, fn, options) => clock.after(options?.keepAlive ? 0 : ms, fn, options),
})

/** For each test: a CA, a store, a clock for both, and managers with servers on them. */
export class Managers {
  clock = new ShiftingClock()
  store = new MemoryStore()
  ca!: TestCa
  gate!: Gate
  readonly #closers: (() => Promise<void>)[] = []

  async open() {
    this.clock = new ShiftingClock()
    this.store = new MemoryStore()
    this.gate = await openGate()
    this.ca = await TestCa.start({ tlsPort: this.gate.port, httpPort: this.gate.port, now: this.clock.now })
  }

  /** What a manager needs to know of the CA. */
  get acme() {
    const { directoryUrl, endpointCertificate: ca } = this.ca
    return { termsOfServiceAgreed: true as const, directoryUrl, ca, keyPrefix: '' }
  }

  async close() {
    for (const close of this.#closers.splice(0).reverse()) await close()
    await this.ca.close()
    await this.gate.close()
  }

  /** A server on the store, which the CA reaches; with what its manager reported. */
  async machine(options: Partial<CertManagerOptions> = {}) {
    const { clock, store } = this
    const manager = new CertManager({
      cache: store,
      hostPolicy: ['a.example', 'b.example', 'c.example'],
      acme: this.acme,
      clock,
      ...options,
    })
    const started = await startMachine(manager)
    // Some tests leave a store that takes nothing.
    this.#closers.push(() => started.close().catch(() => undefined))
    this.gate.target = started.tlsPort
    const events: { [E in keyof CertManagerEvents]?: CertManagerEvents[E][0][] } = {}
    for (const name of eventNames) {
      ;(manager as EventEmitter).on(name, (details) => {
        events[name] = [...(events[name] ?? []), details] as never
      })
    }
    return { ...started, manager, events }
  }
}

/** To be called once, at the top of a test file. */
export function useManagers(): Managers {
  const managers = new Managers()
  beforeEach(() => managers.open())
  afterEach(() => managers.close())
  return managers
}

/** What a manager's SNICallback answers. */
export const sniCallback = (manager: CertManager) => {
  const { SNICallback } = manager.tlsOptions()
  return (servername: string) =>
    new Promise<SecureContext | undefined>((resolve) => {
      SNICallback(servername, (error, context) => {
        expect(error).toBeNull()
        resolve(context)
      })
    })
}
