import { createHash } from 'node:crypto'
import type { SecureContext } from 'node:tls'
import { LRUCache } from 'lru-cache'
import { Certificate } from './certificate.js'
import { type BundleFault, type CertificateBundle, checkBundle, decodeBundle } from './certificate-bundle.js'
import { RenewalSchedule } from './renewal-schedule.js'
import { type RenewalWindow, renewalTime } from './renewal-time.js'

/** Of how many hosts, the latest, it is known what was wrong with the stored bytes. */
const mostFaults = 1_000

/** Of a 50th of the lifetime: an hour of 90 days, in which one machine has long replaced it for all. */
const processShare = 1 / 40

/** Where a certificate came from. */
export type CertificateSource = 'memory' | 'store' | 'acme'

/** A certificate ready to be served. Times are in milliseconds since the epoch. */
export interface LiveCertificate {
  readonly host: string
  readonly serialNumber: string
  readonly notBefore: number
  readonly notAfter: number
  readonly source: Exclude<CertificateSource, 'memory'>
  readonly context: SecureContext
  /** As stored: private key and chain. */
  readonly data: Uint8Array
  /** When something is to be done about it. */
  readonly schedule: RenewalSchedule
}

export interface SecureContextsOptions {
  readonly now: () => number
  readonly renewBeforeMs: number | undefined
  /** Called once for each stored value that does not, however often it is read. */
  readonly onFault: (host: string, fault: BundleFault) => void
}

/**
 * The live `SecureContext`s, made once per stored value (0.8 ms and 40 KiB each). They hang off the memory tier's
 * values, and go when the tier lets go of the value: the one bound there governs both.
 */
export class SecureContexts {
  readonly #seed = Math.random()
  readonly #known = new WeakMap<Uint8Array, LiveCertificate | 'faulty'>()
  /** What was wrong last, by host. */
  readonly #faults = new LRUCache<string, string>({ max: mostFaults })

  private readonly options: SecureContextsOptions

  constructor(options: SecureContextsOptions) {
    this.options = options
  }

  /** What was made of these bytes before, if it is for this host and has not expired. */
  current(data: Uint8Array, host: string): LiveCertificate | undefined {
    const live = this.get(data)
    return live && live.host === host && this.options.now() < live.notAfter ? live : undefined
  }

  /** What was made of these bytes before. */
  get(data: Uint8Array): LiveCertificate | undefined {
    const known = this.#known.get(data)
    return known === 'faulty' ? undefined : known
  }

  /**
   * What these bytes are good for, for this host, now; `undefined` if for nothing.
   * @param inMemory what is served now: the same bytes, read again, are the same certificate
   */
  load(
    data: Uint8Array,
    host: string,
    source: LiveCertificate['source'],
    inMemory?: LiveCertificate,
  ): LiveCertificate | undefined {
    const known = this.#known.get(data)
    if (known !== undefined && known !== 'faulty' && known.host === host) return this.current(data, host)
    if (known === 'faulty') return undefined
    const isSame = inMemory && Buffer.compare(inMemory.data, data) === 0
    const made = isSame ? inMemory : this.#make(data, host, source)
    this.#known.set(data, typeof made === 'string' ? 'faulty' : made)
    if (typeof made === 'string') this.#report(host, data, made)
    return this.current(data, host)
  }

  /** Takes over the CA's wish; `undefined`: it has none. */
  setRenewalWindow(live: LiveCertificate, window: RenewalWindow | undefined): void {
    live.schedule.windowFetched = true
    live.schedule.setRenewalTime(this.#renewal(live, window))
  }

  #report(host: string, data: Uint8Array, fault: BundleFault): void {
    const seen = `${fault} ${createHash('sha256').update(data).digest('base64')}`
    if (this.#faults.get(host) !== seen) this.options.onFault(host, fault)
    this.#faults.set(host, seen)
  }

  #make(data: Uint8Array, host: string, source: LiveCertificate['source']): LiveCertificate | BundleFault {
    const checked = checkBundle(data, host, this.options.now())
    if (checked.fault) return checked.fault
    const { notBefore, notAfter, serialNumber, context } = checked
    const lifetimes = { serialNumber, notBefore, notAfter }
    const schedule = new RenewalSchedule(
      notAfter - notBefore,
      this.#renewal(lifetimes),
      this.options.now(),
      source === 'acme',
    )
    return { host, ...lifetimes, source, context, data, schedule }
  }

  /** The same random number whenever it is asked for: a window that has not changed changes nothing. */
  #renewal(
    { serialNumber, notBefore, notAfter }: Pick<LiveCertificate, 'serialNumber' | 'notBefore' | 'notAfter'>,
    window?: RenewalWindow,
  ) {
    const { renewBeforeMs } = this.options
    return renewalTime({ notBefore, notAfter, renewBeforeMs, window, random: this.#spread(serialNumber) })
  }

  /**
   * From 0 up to 1: by the certificate, and a little by the process. Were it by the process alone, the first of many
   * machines to be due, and with it the fleet, would always be early.
   */
  #spread(serialNumber: string): number {
    const byCertificate = Number.parseInt(serialNumber.slice(-8), 16) / 2 ** 32
    return byCertificate * (1 - processShare) + this.#seed * processShare
  }
}

/** What callers of the public API get. */
export function toCertificate({
  host,
  serialNumber,
  notBefore,
  notAfter,
  data,
}: LiveCertificate): Certificate {
  // It was decoded before, or it would not be live.
  const bundle = decodeBundle(data) as CertificateBundle
  return new Certificate(host, serialNumber, new Date(notBefore), new Date(notAfter), bundle)
}
