import { captureRejectionSymbol, EventEmitter } from 'node:events'
import type { SecureContext, Server } from 'node:tls'
import type { Certificate } from '../certificates/certificate.js'
import { requireHost } from '../certificates/hostname.js'
import {
  type CertificateSource,
  type LiveCertificate,
  toCertificate,
} from '../certificates/secure-contexts.js'
import { ChallengeRateExceeded } from '../issuance/challenge-rate-limit.js'
import { DefaultCertificateServers } from '../server/default-certificate.js'
import { createHttpHandler, type HttpFallback, type HttpHandler } from '../server/http-handler.js'
import { type TlsCallbacks, tlsCallbacks } from '../server/tls-callbacks.js'
import { sharedController, withDeadline } from '../util/deadline.js'
import { ClosedError, DeadlineError, HostError, toError } from '../util/errors.js'
import { callSafely, warnUnhandled } from '../util/safe-call.js'
import { nonEmptyStrings, optional, plainObject } from '../util/validate.js'
import type { HostStatus } from './certificate-service.js'
import { composeManager, type ManagerParts } from './compose.js'
import type { CertManagerEvents, Report } from './events.js'
import { type CertManagerOptions, checkManagerOptions, type ManagerSettings } from './options.js'

/** How long a handshake, or a caller of `getCertificate`, waits at most. The order goes on behind it. */
const handshakeMs = 30_000

/**
 * Certificates for TLS servers: from memory, else from the store that the fleet shares, else ordered from an
 * ACME CA (RFC 8555) and stored for all.
 *
 * Its events are listed in {@link CertManagerEvents}. Its timers keep no process alive, but for orders under way.
 */
export class CertManager extends EventEmitter<CertManagerEvents> {
  static {
    // Node calls this when a listener returns a promise that rejects.
    Object.defineProperty(CertManager.prototype, captureRejectionSymbol, { value: warnUnhandled })
  }

  readonly #settings: ManagerSettings
  readonly #closing = sharedController()
  readonly #parts: ManagerParts
  readonly #defaultCertificateServers: DefaultCertificateServers
  #answersHttp01 = false
  #closed: Promise<void> | undefined

  /** @throws {TypeError} naming the option that is wrong */
  constructor(options: CertManagerOptions) {
    super({ captureRejections: true })
    const settings = checkManagerOptions(options)
    this.#settings = settings
    this.#defaultCertificateServers = new DefaultCertificateServers(settings.clock, this.#closing.signal)
    this.#parts = composeManager(settings, {
      closing: this.#closing.signal,
      report: this.#report,
      // tls-alpn-01 needs only the port that is served anyway; http-01 gets through what ends TLS on the way.
      challengeTypes: () => (this.#answersHttp01 ? ['http-01', 'tls-alpn-01'] : ['tls-alpn-01']),
      onLive: (live) => {
        if (live.host === settings.defaultHost) this.#defaultCertificateServers.update(toCertificate(live))
      },
    })
  }

  /**
   * For `https.createServer`, `http2.createSecureServer` or `tls.createServer`: spread it into their options.
   *
   * @param options.ALPNProtocols the protocols to negotiate, the preferred one first. Default: what the server
   *   does without us: `http/1.1` for https, `h2` and `http/1.1` for http2 (set `allowHTTP1` there), for a plain
   *   TLS server the first that the client offers.
   */
  tlsOptions(options: { ALPNProtocols?: readonly string[] } = {}): TlsCallbacks {
    const { ALPNProtocols } = plainObject('tlsOptions: options', options)
    const alpnProtocols = optional('tlsOptions: ALPNProtocols', ALPNProtocols, nonEmptyStrings)
    return tlsCallbacks(
      {
        fromMemory: (host) => {
          const live = this.#parts.certificates.fromMemory(host)
          if (live && this.listenerCount('served') > 0) this.#reportServed(live, 'memory', 0)
          return live?.context
        },
        fromElsewhere: (host) => this.#handshake(host),
        pendingChallenge: (host) => this.#parts.answers.pendingTlsAlpn01(host),
        challenge: (host, client) => this.#challenge(host, () => this.#parts.answers.tlsAlpn01(host, client)),
        onIllegalName: (servername) => this.#report('refused', { servername, reason: 'name' }),
      },
      alpnProtocols,
    )
  }

  /**
   * For the server on port 80, or as middleware: answers http-01 challenges. Other requests go to `fallback`,
   * else to `next`, else GET and HEAD are redirected to https on port 443, if `Host` is a DNS name, and the rest is
   * answered with 400. Orders prefer http-01 once this was called.
   */
  httpHandler(fallback?: HttpFallback): HttpHandler {
    if (fallback !== undefined && typeof fallback !== 'function') {
      throw new TypeError('httpHandler: fallback must be a function of request and response')
    }
    this.#answersHttp01 = true
    const fromStore = (host: string, token: string, client: string) =>
      this.#challenge(host, () => this.#parts.answers.http01(token, host, client), { rethrow: true })
    const pending = (token: string, host: string) => this.#parts.answers.pendingHttp01(token, host)
    return createHttpHandler({ pending, fromStore, fallback })
  }

  /**
   * A host's certificate, as a handshake would get it; waits at most 30 s.
   * @throws {HostError} if `host` is no DNS name, or not allowed
   * @throws {StoreError} if the store could not tell
   * @throws {IssuanceError} if it could not be ordered
   * @throws {DeadlineError} if it took too long; the order goes on, so try again later
   * @throws {ClosedError} after `close()`, if it is not in memory
   */
  async getCertificate(host: string): Promise<Certificate> {
    const name = requireHost(host)
    const live = this.#parts.certificates.fromMemory(name) ?? (await this.#withinHandshake(name))
    return toCertificate(live)
  }

  /**
   * Gets the certificates of all `hosts` ready: call it when the server listens, before traffic. They are kept for
   * the life of the manager: renewed without traffic, and tried again where they could not be had.
   *
   * Works on 8 hosts at a time. At most 100 orders follow each other at once, then one each 54 s: Let's Encrypt
   * allows 300 in 3 hours. Waits for orders to the end: 5 minutes each at most, and up to 7 for another machine's.
   * @throws {AggregateError} of the hosts' errors, after all have been tried
   * @throws {TypeError} for a single string, or what is no iterable
   */
  async ensure(hosts: Iterable<string>): Promise<void> {
    if (typeof hosts === 'string' || typeof hosts?.[Symbol.iterator] !== 'function')
      throw new TypeError('ensure: hosts must be several names, as in an array')
    const names: string[] = []
    const errors: Error[] = []
    for (const host of hosts) {
      try {
        names.push(requireHost(host))
      } catch (thrown) {
        errors.push(toError(thrown))
      }
    }
    errors.push(...(await this.#parts.renewals.keep(names)))
    if (errors.length > 0) {
      const messages = errors.map(({ message }) => message).join('; ')
      const hosts = errors.length === 1 ? '1 host has' : `${errors.length} hosts have`
      throw new AggregateError(errors, `${hosts} no certificate: ${messages}`)
    }
  }

  /**
   * Keeps a server's default context, what a client without SNI gets, on `defaultHost`'s certificate: got now,
   * renewed as by `ensure`, and taken away should it expire. The server's other options, its ticket keys and sessions
   * stay as they are. A server that was closed and is to listen again needs another call.
   * @throws {TypeError} without the option `defaultHost`
   */
  attach(server: Server): void {
    const { defaultHost } = this.#settings
    if (defaultHost === undefined) throw new TypeError('attach: set the option defaultHost of CertManager')
    if (typeof server?.setSecureContext !== 'function')
      throw new TypeError('attach: server must be a tls.Server')
    this.#defaultCertificateServers.add(server)
    const known = this.#parts.certificates.fromMemory(defaultHost)
    if (known) this.#defaultCertificateServers.update(toCertificate(known))
    this.#parts.renewals.keep([defaultHost]).then(([error]) => {
      if (error) this.#report('handshakeFailed', { host: defaultHost, error })
    }, warnUnhandled)
  }

  /** The hosts with a certificate in memory, and those whose last attempt failed (of these, the latest 1,000 or `memory.max`). */
  status(): HostStatus[] {
    return this.#parts.certificates.status()
  }

  /**
   * Ends orders under way and withdraws their challenge answers, tries once more to store what the store did not
   * take, and lets go of connections. What is in memory is served on. A second call waits for the first.
   * @throws {AggregateError} if a certificate could not be stored
   */
  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #close(): Promise<void> {
    this.#closing.abort(new ClosedError('the CertManager was closed'))
    await this.#parts.close()
  }

  async #handshake(host: string): Promise<SecureContext | undefined> {
    const started = performance.now()
    try {
      const live = await this.#withinHandshake(host)
      this.#reportServed(live, live.source, performance.now() - started)
      return live.context
    } catch (thrown) {
      this.#reportFailure(host, toError(thrown))
      return undefined
    }
  }

  #withinHandshake(host: string): Promise<LiveCertificate> {
    const { clock } = this.#settings
    const timeout = () => new DeadlineError(`no certificate for ${host} within ${handshakeMs / 1_000} s`)
    return withDeadline(() => this.#parts.certificates.obtain(host), {
      ms: handshakeMs,
      clock,
      error: timeout,
    })
  }

  /** A look for a challenge's answer in the store: after the policy, within a handshake's time. */
  async #challenge<T>(
    host: string,
    look: () => Promise<T | undefined>,
    options: { rethrow?: boolean } = {},
  ): Promise<T | undefined> {
    const { clock } = this.#settings
    const timeout = () => new DeadlineError(`no challenge answer for ${host} within ${handshakeMs / 1_000} s`)
    try {
      return await withDeadline(
        async () => {
          await this.#parts.policy.check(host)
          return look()
        },
        { ms: handshakeMs, clock, error: timeout, signal: this.#closing.signal },
      )
    } catch (thrown) {
      const error = toError(thrown)
      this.#reportFailure(host, error)
      if (options.rethrow && !(error instanceof HostError)) throw error
      return undefined
    }
  }

  #reportServed({ host }: LiveCertificate, source: CertificateSource, durationMs: number): void {
    this.#report('served', { host, source, durationMs })
  }

  #reportFailure(host: string, error: Error): void {
    if (error instanceof ChallengeRateExceeded)
      return this.#report('refused', { servername: host, reason: 'rate' })
    // A policy that said no, as opposed to one that failed.
    if (error instanceof HostError && !error.cause) {
      this.#report('refused', { servername: host, reason: 'policy' })
    } else {
      this.#report('handshakeFailed', { host, error })
    }
  }

  readonly #report: Report = (event, details) => {
    // Typed by Report; EventEmitter's own types can't follow the pairing.
    callSafely(() => (this as EventEmitter).emit(event, details))
  }
}
