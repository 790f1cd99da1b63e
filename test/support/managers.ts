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

/** Returns a clock that skips the pauses between retries: timers with `keepAlive` fire immediately. */
export const impatient = (clock: Clock): Clock => ({
  now: () => clock.now(),
  after: (ms, fn, options) => clock.after(options?.keepAlive ? 0 : ms, fn, options),
})

/** A CA, a store, a clock for both, and managers with servers, new for each test. */
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

  /** The options with which a manager uses the CA. */
  get acme() {
    const { directoryUrl, endpointCertificate: ca } = this.ca
    return { termsOfServiceAgreed: true as const, directoryUrl, ca, keyPrefix: '' }
  }

  async close() {
    for (const close of this.#closers.splice(0).reverse()) await close()
    await this.ca.close()
    await this.gate.close()
  }

  /** Starts a server on the store, which the CA validates, and records the events of its manager. */
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
    // Some tests leave a store whose writes fail.
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

/** Opens {@link Managers} for each test. Call it once, at the top level of a test file. */
export function useManagers(): Managers {
  const managers = new Managers()
  beforeEach(() => managers.open())
  afterEach(() => managers.close())
  return managers
}

/** Returns a function that resolves with the context from a manager's SNICallback. */
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
