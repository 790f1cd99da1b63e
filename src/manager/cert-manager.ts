import { captureRejectionSymbol, EventEmitter } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2'
import type { Server } from 'node:tls'
import type { Certificate } from '../certificates/certificate.js'
import { certName } from '../certificates/certificate-id.js'
import { type Host, requireHost } from '../certificates/hostname.js'
import { toCertificate } from '../certificates/live-certificate.js'
import { AttachedServers } from '../server/attached-servers.js'
import { checkContextOptions } from '../server/contexts/context-options.js'
import { ServerContextsByOptions } from '../server/contexts/server-contexts.js'
import { sessionIdContextOf } from '../server/contexts/session-id-context.js'
import { DefaultCertificate } from '../server/default-certificate.js'
import { warnOfKeyTypes } from '../server/default-key-type.js'
import {
  createHttpHandler,
  type HttpFallback,
  type HttpHandler,
  type HttpHandlerOptions,
} from '../server/http-handler.js'
import {
  type TlsCallbackOptions,
  type TlsCallbacks,
  tlsCallbackOptionNames,
  tlsCallbacks,
} from '../server/tls-callbacks.js'
import { sharedController } from '../util/deadline.js'
import { ClosedError } from '../util/errors.js'
import { callSafely, warnUnhandled } from '../util/safe-call.js'
import { nonEmptyStrings, optional, plainObject } from '../util/validate.js'
import type { HostStatus } from './certificate-service.js'
import { composeManager, type ManagerParts } from './compose.js'
import type { CertManagerEvents, Report } from './events.js'
import { FailureWarnings } from './failure-warnings.js'
import { type CertManagerOptions, checkManagerOptions, type ManagerSettings } from './options.js'

// The types of EventEmitter accept any event name, with every version of @types/node. These accept known names only.
export interface CertManager {
  on<E extends keyof CertManagerEvents>(event: E, listener: (...args: CertManagerEvents[E]) => void): this
  once<E extends keyof CertManagerEvents>(event: E, listener: (...args: CertManagerEvents[E]) => void): this
  off<E extends keyof CertManagerEvents>(event: E, listener: (...args: CertManagerEvents[E]) => void): this
  addListener<E extends keyof CertManagerEvents>(
    event: E,
    listener: (...args: CertManagerEvents[E]) => void,
  ): this
  removeListener<E extends keyof CertManagerEvents>(
    event: E,
    listener: (...args: CertManagerEvents[E]) => void,
  ): this
  prependListener<E extends keyof CertManagerEvents>(
    event: E,
    listener: (...args: CertManagerEvents[E]) => void,
  ): this
  prependOnceListener<E extends keyof CertManagerEvents>(
    event: E,
    listener: (...args: CertManagerEvents[E]) => void,
  ): this
  removeAllListeners(event?: keyof CertManagerEvents): this
  listeners<E extends keyof CertManagerEvents>(event: E): ((...args: CertManagerEvents[E]) => void)[]
  rawListeners<E extends keyof CertManagerEvents>(event: E): ((...args: CertManagerEvents[E]) => void)[]
  listenerCount<E extends keyof CertManagerEvents>(
    event: E,
    listener?: (...args: CertManagerEvents[E]) => void,
  ): number
  emit<E extends keyof CertManagerEvents>(event: E, ...args: CertManagerEvents[E]): boolean
  eventNames(): (keyof CertManagerEvents)[]
}

/**
 * Provides certificates to TLS servers: from memory, else from the store that the fleet shares, else ordered from an
 * ACME CA (RFC 8555) and stored for the whole fleet.
 *
 * Emits the events listed in {@link CertManagerEvents}. Its timers do not keep the process alive, except while an
 * order is in progress.
 */
// biome-ignore lint/suspicious/noUnsafeDeclarationMerging: EventEmitter implements all methods of the interface.
export class CertManager extends EventEmitter {
  static {
    // Node calls this method when a listener returns a promise that rejects.
    Object.defineProperty(CertManager.prototype, captureRejectionSymbol, {
      value: warnUnhandled,
      writable: true,
      configurable: true,
    })
  }

  readonly #settings: ManagerSettings
  readonly #closing = sharedController()
  readonly #parts: ManagerParts
  readonly #failureWarnings: FailureWarnings
  readonly #contexts = new ServerContextsByOptions()
  readonly #attached = new AttachedServers(this.#closing.signal, (server) => this.#parts.tickets?.add(server))
  readonly #defaultCertificate: DefaultCertificate
  #canAnswerHttp01 = false
  #closed: Promise<void> | undefined

  /** @throws {TypeError} naming the invalid option */
  constructor(options: CertManagerOptions) {
    super({ captureRejections: true })
    const settings = checkManagerOptions(options)
    const { clock, defaultHost } = settings
    this.#settings = settings
    this.#failureWarnings = new FailureWarnings(clock)
    this.#defaultCertificate = new DefaultCertificate(this.#attached, clock, this.#closing.signal)
    this.#parts = composeManager(settings, {
      closing: this.#closing.signal,
      report: this.#report,
      attached: this.#attached,
      isServedObserved: () => this.listenerCount('served') > 0,
      // http-01 also works behind a proxy that terminates TLS; tls-alpn-01 needs no other port.
      challengeTypes: () => (this.#canAnswerHttp01 ? ['http-01', 'tls-alpn-01'] : ['tls-alpn-01']),
      onNewCertificate: (live) => {
        if (defaultHost && live.id.name === certName(defaultHost))
          this.#defaultCertificate.update(toCertificate(live))
      },
    })
  }

  /**
   * Returns options for `https.createServer`, `http2.createSecureServer`, `tls.createServer` or `new tls.TLSSocket`. Spread
   * them into the server's other options.
   *
   * @param options.ALPNProtocols the protocols to negotiate, in order of preference. Default: those of the server:
   *   `http/1.1` for https; `h2` and `http/1.1` for http2 (set `allowHTTP1` there); for a plain TLS server the first
   *   protocol that the client offers, except `h2`. Not beside these options: Node takes either a list or a callback.
   * @param options.ca the CAs against which client certificates are verified, in PEM, as Node's option. Needed for servers
   *   and sockets with `requestCert`, which are refused without it.
   * @param options.crl revocation lists of these CAs, in PEM, as Node's option
   * @param options.certificateCompression as Node's option; ignored by versions of Node that do not have it
   * @throws {TypeError} naming the invalid option
   */
  tlsOptions(options: TlsCallbackOptions = {}): TlsCallbacks {
    const { ALPNProtocols, ...rest } = plainObject<TlsCallbackOptions>(
      'tlsOptions: options',
      options,
      tlsCallbackOptionNames,
    )
    const alpnProtocols = optional('tlsOptions: ALPNProtocols', ALPNProtocols, nonEmptyStrings)
    const checked = checkContextOptions('tlsOptions', rest)
    const callbacks = tlsCallbacks(this.#parts.handshakes, {
      contexts: this.#contexts.for(checked),
      alpnProtocols,
    })
    return { ...callbacks, ...checked.options, sessionIdContext: sessionIdContextOf(checked.options ?? {}) }
  }

  /**
   * Returns a request handler for the server on port 80, or a middleware, that answers http-01 challenges (RFC 8555
   * section 8.3). Other requests, and those for an unknown token, go to `fallback`, else to `next`. With neither, a
   * request for a DNS name is redirected to https. If `Host` is absent, an IP address or a single label, as in health
   * checks, GET and HEAD are answered with 200. The rest is answered with 400.
   *
   * A middleware therefore does not redirect: what it passes on is served unencrypted.
   *
   * Orders prefer http-01 once this method has been called.
   * @throws {TypeError} naming the invalid option or argument
   */
  httpHandler(
    fallback?: undefined,
    options?: HttpHandlerOptions,
  ): HttpHandler<IncomingMessage | Http2ServerRequest, ServerResponse | Http2ServerResponse>
  httpHandler(fallback: HttpFallback | undefined, options?: HttpHandlerOptions): HttpHandler
  httpHandler(
    fallback: HttpFallback<Http2ServerRequest, Http2ServerResponse>,
    options?: HttpHandlerOptions,
  ): HttpHandler<Http2ServerRequest, Http2ServerResponse>
  httpHandler(fallback?: unknown, options?: HttpHandlerOptions): HttpHandler<never, never> {
    const handler = createHttpHandler(this.#parts.handshakes, fallback, options)
    this.#canAnswerHttp01 = true
    return handler
  }

  /**
   * Resolves with the certificate that a handshake for `host` would be served, within 30 s.
   * @throws {HostError} if `host` is not a DNS name, or `hostPolicy` does not allow it or fails
   * @throws {StoreError} if a store operation failed
   * @throws {IssuanceError} if the certificate could not be ordered
   * @throws {DeadlineError} after 30 s; the order continues in the background, so try again later
   * @throws {ClosedError} after `close()`, if the certificate is not in memory
   */
  async getCertificate(host: string): Promise<Certificate> {
    const name = requireHost(host)
    const { certificates, handshakes } = this.#parts
    return toCertificate(certificates.fromMemory(name) ?? (await handshakes.certificate(name)))
  }

  /**
   * Loads or orders the certificates of all `hosts`. Call it once the server listens, before traffic arrives. Until the
   * manager is closed, the hosts are renewed without traffic, and retried if they failed.
   *
   * Processes 8 hosts at a time. Starts at most 100 orders in a row, then one every 54 s: Let's Encrypt allows 300 in
   * 3 hours. Waits until each order ends: 5 minutes, up to 15 if the CA asks for more time, and at most 17 for an order of
   * another machine.
   * @throws {AggregateError} of the hosts' errors, once every host has been tried
   * @throws {TypeError} if `hosts` is a string or not iterable
   */
  ensure(hosts: Iterable<string>): Promise<void> {
    return this.#parts.renewals.ensure(hosts)
  }

  /**
   * Does for a server what its options cannot. Call it for every server, and again after a `setSecureContext()` of your own,
   * which undoes it.
   *
   * - With `defaultHost`, serves its certificate to clients without SNI, through the server's default context. The
   *   certificate is obtained now, renewed as by `ensure()`, and removed from the server if it expires.
   * - With `sessionTickets`, shares the keys for session tickets with the fleet.
   * - Warns if Node would serve the server's own certificate instead of a host's (Node 20 and 22: nodejs/node#54235).
   *
   * Other options of the server and its sessions do not change. Call it again for a server that was closed and listens
   * again.
   * @throws {TypeError} if `server` is not a `tls.Server`
   */
  attach(server: Server): void {
    if (typeof server?.setSecureContext !== 'function' || typeof server.setTicketKeys !== 'function')
      throw new TypeError('attach: server must be a tls.Server, such as an https.Server')
    if (this.#closing.signal.aborted) return
    const isNew = this.#attached.add(server)
    const { defaultHost, keyType } = this.#settings
    warnOfKeyTypes(server, keyType)
    this.#parts.tickets?.add(server)
    const live = defaultHost === undefined ? undefined : this.#parts.certificates.fromMemory(defaultHost)
    if (live) this.#defaultCertificate.update(toCertificate(live))
    if (isNew && defaultHost !== undefined) this.#keepDefault(defaultHost)
  }

  #keepDefault(host: Host): void {
    this.#parts.renewals.keepRenewed([host]).then(([error]) => {
      if (error) this.#report('handshakeFailed', { host, error })
    }, warnUnhandled)
  }

  /**
   * Returns the hosts with a certificate in memory, then the hosts without one whose last attempt failed. Of the
   * latter, it returns the most recent: at most `memory.max`, by default 1,000.
   */
  status(): HostStatus[] {
    return this.#parts.certificates.status()
  }

  /**
   * Cancels orders in progress and withdraws their challenge answers, tries one last time to store certificates whose
   * put has failed, and closes the connections to the CA. Certificates in memory continue to be served. A second call
   * returns the promise of the first.
   * @throws {AggregateError} if a certificate could not be stored
   */
  close(): Promise<void> {
    this.#closing.abort(new ClosedError('the CertManager was closed'))
    this.#closed ??= this.#parts.close()
    return this.#closed
  }

  /** Calls `close()`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  readonly #report: Report = (event, details) => {
    callSafely(() => {
      const isHandled = this.emit(event, ...([details] as CertManagerEvents[typeof event]))
      this.#failureWarnings.onEmitted(event, details, isHandled)
    })
  }
}
