import type { LiveCertificate } from '../../src/certificates/secure-contexts.js'
import { ClosedError, StoreError } from '../../src/index.js'
import { composeManager, type ManagerParts } from '../../src/manager/compose.js'
import { checkManagerOptions } from '../../src/manager/options.js'
import { sharedController } from '../../src/util/deadline.js'
// Loaded on demand, they would take turns of the event loop that virtual time knows nothing of.
import '../../src/cache/once-per-fleet.js'
import '../../src/issuance/issuer.js'
import '../../src/issuance/renewal-info-records.js'
import '../../src/cache/pending-writes.js'
import type { SimulatedCa } from './ca.js'
import { clockErrorMs, type Issued, type Ledger } from './ledger.js'
import type { SimulatedStore } from './store.js'
import type { Timeline } from './timeline.js'
import type { Troubles } from './troubles.js'
import { hour, minute } from './units.js'

export interface Host {
  readonly name: string
  /** When it comes into the world: outages are to meet certificates of every age. */
  readonly appears: number
  /** By `ensure`. The others live by their handshakes. */
  readonly isKept: boolean
  readonly hasHandshakes: boolean
}

export interface Surroundings {
  readonly time: Timeline
  readonly troubles: Troubles
  readonly ledger: Ledger
  readonly ca: SimulatedCa
  readonly store: SimulatedStore
  readonly hosts: readonly Host[]
  readonly memoryMax: number
  readonly random: () => number
  /** What there was of each event. */
  readonly events: Record<string, number>
}

/** Between two handshakes for a host on a machine: 6 hours on the average. */
const longestSilenceMs = 12 * hour
/** After an outage it takes a while until the store is tried again. */
const breakerMs = minute
/** For what a machine is told that dies: it never comes. */
const never = new Promise<never>(() => {})

/** Everything that stands behind a CertManager, but sockets and ACME's requests: from one start to its end. */
export class Machine {
  isAlive = true
  handshakes = 0
  /** Certificates that nobody but this machine has. */
  readonly unstored = new Set<Issued>()
  /** Serves no more, though it may still live for the end of what it has begun. */
  #isServing = true
  /** The hosts that it has had a certificate for. */
  readonly #had = new Set<string>()
  readonly #closing = sharedController()
  readonly #parts: ManagerParts

  private readonly around: Surroundings
  private readonly onEnd: () => void

  constructor(around: Surroundings, onEnd: () => void) {
    this.around = around
    this.onEnd = onEnd
    const { time, ca, store, hosts, memoryMax, random, events } = around
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
        challengeTypes: () => ['tls-alpn-01'],
        onNewCertificate: ({ host }) => this.#had.add(host),
      },
      async () => ca.for(this),
    )
    const { renewals } = this.#parts
    const [old, young] = [true, false].map((isOld) =>
      hosts.filter(({ isKept, appears }) => isKept && appears <= time.now === isOld),
    )
    void renewals.keepRenewed(old!.map(({ name }) => name))
    for (const { name, appears } of young!) {
      time.at(appears, () => this.#isServing && void renewals.keepRenewed([name]))
    }
    for (const { name, appears, hasHandshakes } of hosts) {
      if (!hasHandshakes) continue
      const next = () => {
        if (!this.#isServing) return
        this.#handshake(name)
        time.after(longestSilenceMs * random(), next)
      }
      time.at(Math.max(appears, time.now) + (longestSilenceMs / 2) * random(), next)
    }
  }

  /** Resolves at once while it lives, never afterwards. */
  alive(): Promise<void> | undefined {
    return this.isAlive ? undefined : never
  }

  /** A crash. */
  die(): void {
    if (!this.isAlive) return
    this.isAlive = false
    for (const issued of this.unstored) issued.isLost = true
    this.#stopServing()
  }

  /** An orderly end. */
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

  /** What it keeps it has ready at any time, and what others have replaced it replaces, too. */
  check(): void {
    const { hosts, ledger, time, memoryMax } = this.around
    if (memoryMax < hosts.length) return // where there is no room it can't be ready; that it is stored is checked
    const ready = new Set<string>()
    for (const { host, notBefore, notAfter } of this.#parts.certificates.live()) {
      if (notAfter > time.now) ready.add(host)
      ledger.serving(host, notBefore)
    }
    for (const { name, isKept } of hosts) {
      if (isKept && this.#had.has(name) && !ready.has(name)) ledger.fail(name, 'kept, and not ready')
    }
  }

  #handshake(host: string): void {
    const { ledger, time, troubles, hosts, memoryMax } = this.around
    this.handshakes += 1
    const started = time.now
    const check = ({ notAfter }: LiveCertificate) => {
      if (notAfter <= time.now) ledger.fail(host, 'a handshake got an expired certificate')
    }
    const live = this.#parts.certificates.fromMemory(host)
    if (live) return check(live)
    // Nothing can help a machine without a certificate, just started or short of memory, while the store is down.
    const isHelpless = !this.#had.has(host) || memoryMax < hosts.length
    this.#parts.certificates.obtain(host).then(check, (error: Error) => {
      const wasDown = () => troubles.between(started - breakerMs, time.now, ['store'])
      if ((error instanceof StoreError && isHelpless && wasDown()) || error instanceof ClosedError) return
      ledger.fail(host, `a handshake got no certificate: ${error.message}`)
    })
  }
}
