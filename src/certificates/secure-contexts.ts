import { createHash } from 'node:crypto'
import type { SecureContext } from 'node:tls'
import { LRUCache } from 'lru-cache'
import { Certificate } from './certificate.js'
import { type BundleFault, type CertificateBundle, checkBundle, decodeBundle } from './certificate-bundle.js'
import { RenewalSchedule } from './renewal-schedule.js'
import { type RenewalWindow, renewalTime } from './renewal-time.js'

/** Maximum number of hosts whose last fault is remembered, so that it is reported once. */
const maxFaults = 1_000

/**
 * The part of the random spread that differs between processes. The spread is 1/50 of the lifetime, so for 90 days this
 * is about 1 hour: enough for the first machine to renew for all.
 */
const processShare = 1 / 40

/** Where a certificate was found: in memory, in the store, or issued by the CA. */
export type CertificateSource = 'memory' | 'store' | 'acme'

/** A certificate ready to be served. Times are in milliseconds since the epoch. */
export interface LiveCertificate {
  readonly host: string
  readonly serialNumber: string
  readonly notBefore: number
  readonly notAfter: number
  readonly source: Exclude<CertificateSource, 'memory'>
  readonly context: SecureContext
  /** The stored bytes: private key and chain. */
  readonly data: Uint8Array
  readonly schedule: RenewalSchedule
}

export interface SecureContextsOptions {
  readonly now: () => number
  readonly renewBeforeMs: number | undefined
  /** Called when stored bytes cannot be served; once per value, however often it is read. */
  readonly onFault: (host: string, fault: BundleFault) => void
}

/**
 * Creates one `SecureContext` per stored value (0.8 ms and 40 KiB each). The contexts are weakly keyed by the values in
 * the memory tier: evicting a value frees its context, so the bound of that tier governs both.
 */
export class SecureContexts {
  readonly #seed = Math.random()
  readonly #loaded = new WeakMap<Uint8Array, LiveCertificate | 'faulty'>()
  /** The last fault of each host, with the hash of the faulty value. */
  readonly #faults = new LRUCache<string, string>({ max: maxFaults })

  private readonly options: SecureContextsOptions

  constructor(options: SecureContextsOptions) {
    this.options = options
  }

  /** Returns the certificate already loaded from these bytes, if it is for this host and has not expired. */
  current(data: Uint8Array, host: string): LiveCertificate | undefined {
    const live = this.get(data)
    return live && live.host === host && this.options.now() < live.notAfter ? live : undefined
  }

  /** Returns the certificate already loaded from these bytes, even if it has expired. */
  get(data: Uint8Array): LiveCertificate | undefined {
    const loaded = this.#loaded.get(data)
    return loaded === 'faulty' ? undefined : loaded
  }

  /**
   * Validates stored bytes and creates their `SecureContext`. Returns `undefined`, and reports the fault, if they
   * cannot be served for this host now.
   * @param inMemory the certificate being served; reused if the bytes are equal
   */
  load(
    data: Uint8Array,
    host: string,
    source: LiveCertificate['source'],
    inMemory?: LiveCertificate,
  ): LiveCertificate | undefined {
    const loaded = this.#loaded.get(data)
    if (loaded !== undefined && loaded !== 'faulty' && loaded.host === host) return this.current(data, host)
    if (loaded === 'faulty') return undefined
    const isSame = inMemory && Buffer.compare(inMemory.data, data) === 0
    const result = isSame ? inMemory : this.#create(data, host, source)
    this.#loaded.set(data, typeof result === 'string' ? 'faulty' : result)
    if (typeof result === 'string') this.#report(host, data, result)
    return this.current(data, host)
  }

  /** Reschedules the renewal to the CA's suggested window; `undefined` if the CA suggests none. */
  setRenewalWindow(live: LiveCertificate, window: RenewalWindow | undefined): void {
    live.schedule.windowFetched = true
    live.schedule.setRenewalTime(this.#renewalTime(live, window))
  }

  #report(host: string, data: Uint8Array, fault: BundleFault): void {
    const faultId = `${fault} ${createHash('sha256').update(data).digest('base64')}`
    if (this.#faults.peek(host) !== faultId) this.options.onFault(host, fault)
    this.#faults.set(host, faultId)
  }

  #create(data: Uint8Array, host: string, source: LiveCertificate['source']): LiveCertificate | BundleFault {
    const checked = checkBundle(data, host, this.options.now())
    if (checked.fault) return checked.fault
    const { notBefore, notAfter, serialNumber, context } = checked
    const facts = { serialNumber, notBefore, notAfter }
    const schedule = new RenewalSchedule(
      notAfter - notBefore,
      this.#renewalTime(facts),
      this.options.now(),
      source === 'acme',
    )
    return { host, ...facts, source, context, data, schedule }
  }

  /** Deterministic per process and certificate: an unchanged window gives an unchanged time. */
  #renewalTime(
    { serialNumber, notBefore, notAfter }: Pick<LiveCertificate, 'serialNumber' | 'notBefore' | 'notAfter'>,
    window?: RenewalWindow,
  ) {
    const { renewBeforeMs } = this.options
    return renewalTime({
      notBefore,
      notAfter,
      renewBeforeMs,
      window,
      random: this.#spreadFactor(serialNumber),
    })
  }

  /**
   * Returns a number from 0 up to 1 that depends mostly on the certificate and slightly on the process. If it depended
   * on the process alone, the earliest of many machines would renew every certificate near the start of its window.
   */
  #spreadFactor(serialNumber: string): number {
    const certificateShare = Number.parseInt(serialNumber.slice(-8), 16) / 2 ** 32
    return certificateShare * (1 - processShare) + this.#seed * processShare
  }
}

/** Converts to the public class. */
export function toCertificate({
  host,
  serialNumber,
  notBefore,
  notAfter,
  data,
}: LiveCertificate): Certificate {
  // Never a fault: a live certificate has been decoded before.
  const bundle = decodeBundle(data) as CertificateBundle
  return new Certificate(host, serialNumber, new Date(notBefore), new Date(notAfter), bundle)
}
