import type { Host as HostName } from '../../src/certificates/hostname.js'
import type { LiveCertificate } from '../../src/certificates/live-certificate.js'
import { ClosedError, StoreError } from '../../src/index.js'
import { composeManager, type ManagerParts } from '../../src/manager/compose.js'
import { checkManagerOptions } from '../../src/manager/options.js'
import { sharedController } from '../../src/util/deadline.js'
// Preloaded: a dynamic import takes real time, which is unknown to virtual time.
import '../../src/cache/once-per-fleet.js'
import '../../src/issuance/orders.js'
import '../../src/issuance/renewal-info-records.js'
import '../../src/cache/pending-writes.js'
import type { SimulatedCa } from './ca.js'
import { clockErrorMs, type Issued, type Ledger } from './ledger.js'
import type { SimulatedStore } from './store.js'
import type { Timeline } from './timeline.js'
import type { Troubles } from './troubles.js'
import { hour, minute } from './units.js'

export interface Host {
  readonly name: HostName
  /** When the host is added: at different times, so that outages meet certificates of every age. */
  readonly appears: number
  /** Kept by `ensure`; the other hosts depend on handshakes. */
  readonly isKept: boolean
  readonly hasHandshakes: boolean
}

export interface Environment {
  readonly time: Timeline
  readonly troubles: Troubles
  readonly ledger: Ledger
  readonly ca: SimulatedCa
  readonly store: SimulatedStore
  readonly hosts: readonly Host[]
  readonly memoryMax: number
  readonly random: () => number
  /** How many times each event was reported. */
  readonly events: Record<string, number>
}

/** The maximum time between two handshakes for a host on a machine; 6 hours on average. */
const maxSilenceMs = 12 * hour
/** How long the circuit breaker may stay open after an outage. */
const breakerMs = minute
/** The reply to a machine that has died: it never arrives. */
const never = new Promise<never>(() => {})

/** A machine from its start to its end: a CertManager without sockets and ACME requests. */
export class Machine {
  isAlive = true
  handshakes = 0
  /** Certificates that only this machine has. */
  readonly unstored = new Set<Issued>()
  /** False once it closes, although it still completes the work it has started. */
  #isServing = true
  /** The hosts for which it has had a certificate. */
  readonly #servedHosts = new Set<string>()
  readonly #closing = sharedController()
  readonly #parts: ManagerParts

  private readonly environment: Environment
  private readonly onEnd: () => void

  constructor(environment: Environment, onEnd: () => void) {
    this.environment = environment
    this.onEnd = onEnd
    const { time, ca, store, hosts, memoryMax, random, events } = environment
    const settings = checkManagerOptions({
      cache: store.for(this),
      hostPolicy: hosts.map(({ name }) => name),
      acme: { termsOfServiceAgreed: true },
      memory: { max: memoryMax },
      clock: time.clock((2 * random() - 1) * clockErrorMs, () => this.isAlive),
    })
    this.#parts = composeManager(
      settings,
      {
        closing: this.#closing.signal,
        report: (event) => {
          events[event] = (events[event] ?? 0) + 1
        },
        attached: [],
        isServedObserved: () => false,
        // A tls-alpn-01 answer is a certificate, which would be made in real time.
        challengeTypes: () => ['http-01'],
        onNewCertificate: ({ id }) => this.#servedHosts.add(id.name),
      },
      () => ca.for(this),
    )
    const { renewals } = this.#parts
    const keptHosts = hosts.filter(({ isKept }) => isKept)
    const present = keptHosts.filter(({ appears }) => appears <= time.now)
    void renewals.keepRenewed(present.map(({ name }) => name))
    for (const { name, appears } of keptHosts.filter(({ appears }) => appears > time.now)) {
      time.at(appears, () => this.#isServing && void renewals.keepRenewed([name]))
    }
    for (const { name, appears, hasHandshakes } of hosts) {
      if (!hasHandshakes) continue
      const handshakeAndRepeat = () => {
        if (!this.#isServing) return
        this.#handshake(name)
        time.after(maxSilenceMs * random(), handshakeAndRepeat)
      }
      time.at(Math.max(appears, time.now) + (maxSilenceMs / 2) * random(), handshakeAndRepeat)
    }
  }

  /** Resolves immediately while the machine lives, and never after its death. */
  alive(): Promise<void> | undefined {
    return this.isAlive ? undefined : never
  }

  /** Crashes the machine. */
  die(): void {
    if (!this.isAlive) return
    this.isAlive = false
    for (const issued of this.unstored) issued.isLost = true
    this.#stopServing()
  }

  /** Shuts the machine down. */
  close(): void {
    if (!this.#isServing) return
    this.#stopServing()
    this.#closing.abort(new ClosedError('closed'))
    const die = () => this.die()
    this.#parts.close().then(die, die)
  }

  #stopServing(): void {
    if (!this.#isServing) return
    this.#isServing = false
    this.onEnd()
  }

  /** Checks that every kept host has a certificate in memory, and that none is outdated. */
  check(): void {
    const { hosts, ledger, time, memoryMax } = this.environment
    if (memoryMax < hosts.length) return // memory is too small; the ledger checks the stored certificates
    const ready = new Set<string>()
    for (const { id, notBefore, notAfter } of this.#parts.certificates.live()) {
      if (notAfter > time.now) ready.add(id.name)
      ledger.serving(id.name, notBefore)
    }
    for (const { name, isKept } of hosts) {
      if (isKept && this.#servedHosts.has(name) && !ready.has(name)) ledger.fail(name, 'kept, and not ready')
    }
  }

  #handshake(host: HostName): void {
    const { ledger, time, troubles, hosts, memoryMax } = this.environment
    this.handshakes += 1
    const started = time.now
    const check = ({ notAfter }: LiveCertificate) => {
      if (notAfter <= time.now) ledger.fail(host, 'a handshake got an expired certificate')
    }
    const live = this.#parts.certificates.fromMemory(host)
    if (live) return check(live)
    // While the store is down, a machine without the certificate in memory cannot serve it.
    const dependsOnStore = !this.#servedHosts.has(host) || memoryMax < hosts.length
    this.#parts.certificates.obtain(host, { reason: 'handshake' }).then(check, (error: Error) => {
      const wasDown = () => troubles.between(started - breakerMs, time.now, ['store'])
      if ((error instanceof StoreError && dependsOnStore && wasDown()) || error instanceof ClosedError) return
      ledger.fail(host, `a handshake got no certificate: ${error.message}`)
    })
  }
}
