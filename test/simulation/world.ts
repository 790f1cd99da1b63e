import { createPublicKey, type KeyObject, type webcrypto, X509Certificate } from 'node:crypto'
import { setImmediate as turn } from 'node:timers/promises'
import * as x509 from '@peculiar/x509'
import { assemble } from '../../src/assembly.js'
import type { CertManagerEvents } from '../../src/events.js'
import {
  type CertCacheLock,
  ClosedError,
  IssuanceError,
  type LockingCertCache,
  StoreError,
} from '../../src/index.js'
import type { CertificateAuthority } from '../../src/issuance.js'
import { checkManagerOptions } from '../../src/manager-options.js'
// Loaded on demand, they would take turns of the event loop that virtual time knows nothing of.
import '../../src/fleet.js'
import '../../src/issuance.js'
import '../../src/suggestions.js'
import '../../src/unsaved.js'
import { seededRandom } from './random.js'
import { Timeline } from './timeline.js'

export interface WorldOptions {
  readonly seed: number
  readonly days: number
  readonly hosts: number
  readonly machines: number
  readonly lifetimeDays: number
}

export interface Outcome {
  readonly handshakes: number
  /** Handshakes without a certificate, or with one that has expired; those that nothing could have helped apart. */
  readonly failed: readonly string[]
  /** Of each host, outside the outages. */
  readonly orders: ReadonlyMap<string, number>
  readonly outages: { readonly ca: number; readonly store: number }
  readonly restarts: number
  /** What there was of each event. */
  readonly events: Readonly<Record<string, number>>
}

const hour = 3_600_000
const day = 24 * hour
/** A lock outlives a machine that was killed by so much. */
const leaseMs = 30_000
const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }

/**
 * Machines with everything that stands behind a CertManager, but sockets and ACME's requests, on one store and
 * one CA, through years of virtual time with handshakes, outages and restarts. The same seed makes the same run.
 */
export async function simulate(options: WorldOptions): Promise<Outcome> {
  const keys = await crypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
  const { random: unseeded } = Math
  Math.random = seededRandom(options.seed)
  try {
    return await new World(options, keys).run()
  } finally {
    Math.random = unseeded
  }
}

type Waiting = { readonly machine: number; readonly host: string; readonly serve: () => Promise<void> }

class World {
  readonly #time = new Timeline()
  readonly #values = new Map<string, Uint8Array>()
  readonly #locks = new Map<string, { readonly holder: string; ordered: boolean }>()
  readonly #hosts: readonly string[]
  /** When they come into the world: outages are to meet certificates of every age. */
  readonly #appear: readonly number[]
  readonly #lifetimeMs: number
  readonly #end: number
  #caIsDown = false
  #storeIsDown = false
  /** Orders whose keys are being made outside of virtual time, and those that have arrived at the CA. */
  readonly #busy = new Set<string>()
  #waiting: Waiting[] = []
  #handshakes = 0
  #restarts = 0
  readonly #outages = { ca: 0, store: 0 }
  readonly #failed: string[] = []
  readonly #orders = new Map<string, number>()
  readonly #events: Record<string, number> = {}

  constructor(
    private readonly options: WorldOptions,
    private readonly keys: webcrypto.CryptoKeyPair,
  ) {
    this.#hosts = Array.from({ length: options.hosts }, (_, index) => `h${index}.example`)
    this.#lifetimeMs = options.lifetimeDays * day
    this.#appear = this.#hosts.map(() => this.#time.now + (Math.random() * this.#lifetimeMs * 2) / 3)
    this.#end = this.#time.now + options.days * day
  }

  async run(): Promise<Outcome> {
    for (let index = 0; index < this.options.machines; index++) this.#startMachine(index)
    // The first certificates are ordered in peace.
    this.#time.at(Math.max(...this.#appear) + day, () => this.#trouble())
    while (this.#time.step(this.#end)) await this.#settle()
    return {
      handshakes: this.#handshakes,
      failed: this.#failed,
      orders: this.#orders,
      outages: this.#outages,
      restarts: this.#restarts,
      events: this.#events,
    }
  }

  /** Lets everything that a timer started come to its end, or to its next timer. */
  async #settle(): Promise<void> {
    for (;;) {
      await turn()
      if (this.#busy.size === 0) return
      if (this.#waiting.length < this.#busy.size) continue
      // All have arrived: one after the other, so that chance does not decide their order.
      const waiting = this.#waiting.sort((a, b) => a.machine - b.machine || (a.host < b.host ? -1 : 1))
      this.#waiting = []
      for (const { serve } of waiting) {
        await serve()
        await turn()
      }
    }
  }

  /** The CA, the store or both are down for a while; then there is peace for a while. */
  #trouble(): void {
    const kind = Math.random()
    const ca = kind < 0.7
    const store = kind > 0.4
    const longest = store ? Math.min(12 * hour, this.#lifetimeMs / 4) : this.#lifetimeMs / 4
    const length = longest * (1 - Math.random() ** 2) // rather long than short
    this.#caIsDown = ca
    this.#storeIsDown = store
    if (ca) this.#outages.ca += 1
    if (store) this.#outages.store += 1
    this.#time.at(this.#time.now + length, () => {
      this.#caIsDown = false
      this.#storeIsDown = false
      const peace = this.#lifetimeMs * (1 / 6 + Math.random())
      this.#time.at(this.#time.now + peace, () => this.#trouble())
    })
  }

  #startMachine(index: number): void {
    let alive = true
    const closing = new AbortController()
    const id = `${index}.${this.#restarts}`
    const isAlive = () => alive
    const hosts = this.#hosts
    const settings = checkManagerOptions({
      cache: this.#storeOf(id, isAlive),
      hostPolicy: hosts,
      acme: { termsOfServiceAgreed: true },
      memory: { max: hosts.length },
      clock: this.#time.clock(isAlive),
    })
    const parts = assemble(
      settings,
      {
        closing: closing.signal,
        report: (event: keyof CertManagerEvents) => {
          this.#events[event] = (this.#events[event] ?? 0) + 1
        },
        challengeTypes: () => ['tls-alpn-01'],
        onLive: () => {},
      },
      async () => this.#caOf(index, id, isAlive),
    )
    for (const [number, host] of hosts.entries()) {
      const appears = Math.max(this.#appear[number]!, this.#time.now)
      // Half of the hosts are kept, the others live by their handshakes.
      if (number % 2 === 0) this.#time.at(appears, () => alive && void parts.renewals.keep([host]))
      const next = () => {
        if (!alive) return
        this.#handshake(host, parts.certificates)
        this.#time.at(this.#time.now + 2 * Math.random() * 6 * hour, next)
      }
      this.#time.at(appears + Math.random() * 6 * hour, next)
    }
    const restart = () => {
      this.#restarts += 1
      alive = false
      // A crash, or an orderly end: what a dead machine still wants to do comes to nothing.
      closing.abort(new ClosedError('restarted'))
      for (const busy of this.#busy) if (busy.startsWith(`${id} `)) this.#busy.delete(busy)
      this.#waiting = this.#waiting.filter((waiting) => waiting.machine !== index)
      this.#startMachine(index)
    }
    this.#time.at(this.#time.now + (5 + Math.random() * 25) * day, restart)
  }

  #handshake(host: string, certificates: ReturnType<typeof assemble>['certificates']): void {
    this.#handshakes += 1
    const started = this.#time.now
    const check = ({ notAfter }: { notAfter: number }) => {
      if (notAfter <= this.#time.now)
        this.#failed.push(`${host} on ${new Date(started).toISOString()}: expired`)
    }
    const live = certificates.fromMemory(host)
    if (live) return check(live)
    const troubled = this.#storeIsDown
    certificates.obtain(host).then(check, (error: Error) => {
      // A machine that has just started knows nothing while the store is down, and a killed one serves nobody.
      if ((error instanceof StoreError && troubled) || error instanceof ClosedError) return
      this.#failed.push(`${host} on ${new Date(started).toISOString()}: ${error.message}`)
    })
  }

  #storeOf(id: string, isAlive: () => boolean): LockingCertCache {
    const enter = async () => {
      if (!isAlive()) await new Promise(() => {})
      if (this.#storeIsDown) throw new StoreError('ERR_STORE_UNREACHABLE', 'the store is down')
    }
    return {
      get: async (key) => {
        await enter()
        const host = key.replace(/\+failure$/, '')
        // Read again under the lock, before an order: its key is made next.
        const lock = host === key ? undefined : this.#locks.get(host)
        if (lock?.holder === id && !lock.ordered) {
          lock.ordered = true
          this.#busy.add(`${id} ${host}`)
        }
        return this.#values.get(key)?.slice()
      },
      put: async (key, data) => {
        await enter()
        this.#values.set(key, data.slice())
      },
      delete: async (key) => {
        await enter()
        this.#values.delete(key)
      },
      tryLock: async (name) => {
        await enter()
        if (this.#locks.has(name)) return undefined
        return this.#lock(id, name, isAlive)
      },
    }
  }

  #lock(id: string, name: string, isAlive: () => boolean): CertCacheLock {
    const lock = { holder: id, ordered: false }
    this.#locks.set(name, lock)
    const free = () => this.#locks.get(name) === lock && this.#locks.delete(name)
    const watch = () => {
      if (this.#locks.get(name) !== lock) return
      if (isAlive()) this.#time.at(this.#time.now + leaseMs, watch)
      else free()
    }
    watch()
    return {
      signal: new AbortController().signal,
      release: async () => {
        this.#busy.delete(`${id} ${name}`)
        if (isAlive()) free()
      },
    }
  }

  #caOf(machine: number, id: string, isAlive: () => boolean): CertificateAuthority {
    return {
      order: ({ host, key }) =>
        new Promise((resolve, reject) => {
          const serve = async () => {
            try {
              if (!isAlive()) return
              if (this.#caIsDown) throw new IssuanceError('ERR_ISSUANCE_FAILED', 'the CA is down')
              this.#orders.set(host, (this.#orders.get(host) ?? 0) + 1)
              resolve(await this.#sign(host, key))
            } catch (error) {
              reject(error)
            } finally {
              this.#busy.delete(`${id} ${host}`)
            }
          }
          this.#waiting.push({ machine, host, serve })
        }),
      renewalSuggestion: async (data) => {
        if (this.#caIsDown) throw new IssuanceError('ERR_ISSUANCE_FAILED', 'the CA is down')
        const { validFrom } = new X509Certificate(data)
        const start = Date.parse(validFrom) + (this.#lifetimeMs * 2) / 3
        return {
          window: { start, end: start + this.#lifetimeMs / 45 },
          retryAfter: this.#time.now + 6 * hour,
        }
      },
      close: () => {},
    }
  }

  async #sign(host: string, key: KeyObject): Promise<string> {
    const spki = createPublicKey(key).export({ format: 'der', type: 'spki' })
    const certificate = await x509.X509CertificateGenerator.create({
      // Not random bytes: what is random about renewals comes from serial numbers, too.
      serialNumber: `40${Math.floor(Math.random() * 2 ** 48)
        .toString(16)
        .padStart(12, '0')}`,
      subject: `CN=${host}`,
      issuer: 'CN=simulated CA',
      notBefore: new Date(this.#time.now),
      notAfter: new Date(this.#time.now + this.#lifetimeMs),
      publicKey: new x509.PublicKey(spki),
      signingKey: this.keys.privateKey,
      signingAlgorithm: algorithm,
      extensions: [new x509.SubjectAlternativeNameExtension([{ type: 'dns', value: host }])],
    })
    return `${certificate.toString('pem')}\n`
  }
}
