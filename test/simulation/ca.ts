import type { KeyObject } from 'node:crypto'
import type { CertificateRequest, Issuer, Run } from '../../src/acme/issuer.js'
import type { RenewalInfo } from '../../src/acme/renewal-info.js'
import { encodeBundle } from '../../src/certificates/certificate-bundle.js'
import { IssuanceError } from '../../src/index.js'
import { abortable } from '../../src/util/deadline.js'
import { makeCertificate } from './der.js'
import type { Issued, Ledger } from './ledger.js'
import type { Machine } from './machine.js'
import { nextKey } from './platform.js'
import type { Timeline } from './timeline.js'
import type { Troubles } from './troubles.js'
import { hour, second } from './units.js'

/** During every 20th order, the machine dies. */
const ordersPerDeath = 20

/** A CA with latency and outages, which suggests a renewal window for most certificates. */
export class SimulatedCa {
  orders = 0
  /** Machines that died during an order. */
  deaths = 0
  #lastSerial = 0

  private readonly parts: {
    readonly time: Timeline
    readonly troubles: Troubles
    readonly ledger: Ledger
    readonly lifetimeMs: number
    readonly random: () => number
  }

  constructor(parts: {
    readonly time: Timeline
    readonly troubles: Troubles
    readonly ledger: Ledger
    readonly lifetimeMs: number
    readonly random: () => number
  }) {
    this.parts = parts
  }

  for(machine: Machine): Issuer {
    return {
      prepare: async () => {},
      clockOffsetMs: undefined,
      issue: (request, run) => this.#order(machine, request, run),
      renewalInfo: (data) => this.#renewalInfo(machine, data),
      close: () => {},
    }
  }

  /** Issues a certificate for the operator, and returns it in the format of the store. */
  orderManually(host: string): Uint8Array {
    const key = nextKey()
    return encodeBundle(key, this.#issue(host, key, true).chain)
  }

  async #order(machine: Machine, request: CertificateRequest, run: Run): Promise<string> {
    const { time, troubles, ledger, random } = this.parts
    const { name, key, solvers } = request
    const durationMs = (2 + 58 * random()) * second
    const step = (share: number) => abortable(this.#request(machine, durationMs * share), run.signal)
    await step(0.1)
    ledger.ordering(name)
    troubles.duringOrder(durationMs)
    this.orders += 1
    // Up to 20 ms after the order: the machine may die while it stores the certificate.
    if (this.orders % ordersPerDeath === 0) {
      time.after(durationMs * random() + 20, () => {
        if (machine.isAlive) this.deaths += 1
        machine.die()
      })
    }
    const challenge = { name, token: `t${this.orders}`, keyAuthorization: 'response' }
    const withdraw = await solvers[0]!.present(challenge, run)
    try {
      run.proceed()
      await step(0.5)
    } finally {
      await withdraw()
    }
    run.commit()
    await step(0.1)
    const issued = this.#issue(name, key)
    machine.unstored.add(issued)
    try {
      await step(0.2)
    } catch (error) {
      issued.isLost = true // the machine never received it
      throw error
    }
    return issued.chain
  }

  async #renewalInfo(machine: Machine, data: Uint8Array): Promise<RenewalInfo> {
    await this.#request(machine, 500 * this.parts.random())
    const window = this.parts.ledger.find(data)?.window
    return { window, retryAfter: this.parts.time.now + 6 * hour }
  }

  async #request(machine: Machine, ms: number): Promise<void> {
    await this.parts.time.wait(ms)
    await machine.alive()
    if (this.parts.troubles.caIsDown) throw new IssuanceError('ERR_ISSUANCE_FAILED', 'the CA is down')
  }

  #issue(host: string, key: KeyObject, isManual = false): Issued {
    const { time, ledger, lifetimeMs, random } = this.parts
    const notBefore = Math.floor(time.now / second) * second
    const notAfter = notBefore + lifetimeMs
    const serialNumber = `40${hex(++this.#lastSerial, 6)}${hex(Math.floor(random() * 2 ** 32), 8)}`
    const at = (share: number) => notBefore + lifetimeMs * share
    // Late, but early enough for an outage of a quarter of the lifetime and another attempt.
    const start = 0.55 + 0.16 * random()
    const hasWindow = random() < 0.75
    const window = hasWindow ? { start: at(start), end: at(start + 0.02) } : undefined
    const due = window ?? { start: at(2 / 3), end: at(2 / 3 + 0.02) }
    const chain = makeCertificate({ host, key, serialNumber, notBefore, notAfter })
    const issued = { host, chain, notBefore, notAfter, window, due, isStored: false, isLost: false, isManual }
    ledger.add(issued)
    return issued
  }
}

const hex = (value: number, digits: number) => value.toString(16).padStart(digits, '0')
