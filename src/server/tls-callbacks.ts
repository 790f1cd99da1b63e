import type { SecureContext, TLSSocket } from 'node:tls'
import { acmeTlsProtocol } from '../acme/challenges.js'
import { type Host, normalizeHost } from '../certificates/hostname.js'
import type { LiveCertificate } from '../certificates/live-certificate.js'
import { callSafely, warnUnhandled } from '../util/safe-call.js'
import type { OptionNames } from '../util/validate.js'
import { dottedAddress } from './client-address.js'
import type { ContextOptions } from './contexts/context-options.js'
import { ownContext, type ServerWithContexts } from './contexts/own-contexts.js'
import type { ServerContexts } from './contexts/server-contexts.js'
import { type ClientVerification, sessionIdContextOf } from './contexts/session-id-context.js'
import { hasOwnCertificate, keyTypeConflict, otherKeyType, warnOnce } from './default-key-type.js'

/** Options of `tlsOptions()`. */
export interface TlsCallbackOptions extends ContextOptions {
  /** The protocols to negotiate, in order of preference. Default: those of the kind of server. */
  readonly ALPNProtocols?: readonly string[]
}

export const tlsCallbackOptionNames: OptionNames<TlsCallbackOptions> = {
  ALPNProtocols: true,
  ca: true,
  crl: true,
  certificateCompression: true,
}

/** Options for `https.createServer`, `http2.createSecureServer`, `tls.createServer` and `new tls.TLSSocket`. */
export interface TlsCallbacks extends ContextOptions {
  /** The same on all machines, and another one for other CAs: see `sessionTickets`. */
  sessionIdContext: string
  /** Calls back with the context for `servername`, or without one if it has no certificate. */
  SNICallback(servername: string, callback: (error: Error | null, context?: SecureContext) => void): void
  /** Returns the protocol to negotiate, or `undefined` if there is none in common. */
  ALPNCallback(offer: { servername: string; protocols: string[] }): string | undefined
}

/** Provides the certificates for handshakes. The promises settle within the time limit of a handshake. */
export interface HandshakeSource {
  /** Returns the host's certificate synchronously; `undefined` if memory has none that may be served. */
  fromMemory(host: Host): LiveCertificate | undefined
  /**
   * Resolves with a certificate from the store or the CA; with `undefined` if that fails. Subject to the host policy.
   * @param client the client's IP address
   */
  obtain(host: Host, client: string | undefined): Promise<LiveCertificate | undefined>
  /** Returns the answer to a tls-alpn-01 challenge of an order in this process. */
  pendingChallenge(host: Host): SecureContext | undefined
  /**
   * Resolves with the answer to a tls-alpn-01 challenge of any machine's order.
   * @param client the client's IP address
   */
  storedChallenge(host: Host, client: string | undefined): Promise<SecureContext | undefined>
  /** Called for a server name that no public CA issues a certificate for. */
  onInvalidName(servername: string): void
  /** Called for a handshake that is refused because of how the server was configured. */
  onMisconfigured(servername: string, error: Error): void
}

/** Undocumented in Node: a socket's server and options, and how they verify clients. */
type ServerSocket = TLSSocket &
  // smtp-server calls SNICallback with its options instead of a socket.
  ClientVerification & {
    readonly server?: ServerWithContexts & ClientVerification
    /** Present on all sockets, also on those that the application creates itself, without a server. */
    readonly _tlsOptions?: ClientVerification
    _releaseControl?(): boolean
  }

// Node verifies client certificates against the CAs of the SNI context, by default its own roots, and ignores the `ca` of
// the server or the socket: it would authorise the holder of any publicly trusted certificate.
const noClientCas =
  'the server requests client certificates (requestCert), but tlsOptions() has no ca: Node would verify them against its default CAs. Pass the CAs to tlsOptions({ ca }), or remove requestCert.'

// Session tickets are shared among servers with equal options, and the context without SNI has the server's.
const otherClientCas =
  'the server requests client certificates, but its ca and crl are not those of tlsOptions(). Write ...manager.tlsOptions({ ca, crl }) into its options, and no other ca and crl.'

const ownClientCas =
  'the server requests client certificates, and has certificates of its own for this name, from addContext(). Use a server without requestCert for them.'

const noChallenge = 'no tls-alpn-01 challenge is pending for this name'

/**
 * Creates the two callbacks of a TLS server. Neither throws, and SNICallback calls back exactly once. For a name
 * without a certificate it passes no context. Node then uses the server's default context, and sends the TLS alert
 * handshake_failure if that has no certificate either.
 *
 * Under TLS 1.3 OpenSSL calls ALPNCallback before SNICallback, so ALPNCallback marks the sockets of tls-alpn-01
 * validations for SNICallback. Under TLS 1.2 ALPNCallback comes last and must answer synchronously, and SNICallback has
 * waited for the host's certificate before: only a challenge of a renewal in this process can be answered.
 */
export function tlsCallbacks(
  source: HandshakeSource,
  { contexts, alpnProtocols }: { contexts: ServerContexts; alpnProtocols?: readonly string[] | undefined },
): Pick<TlsCallbacks, 'SNICallback' | 'ALPNCallback'> {
  /** Sockets on which a CA validates a tls-alpn-01 challenge. */
  const validationSockets = new WeakSet<object>()

  const contextOf = (live: LiveCertificate | undefined) => live && contexts.of(live)

  function findContext(servername: string, socket: ServerSocket) {
    const host = normalizeHost(servername)
    if (validationSockets.has(socket)) return findChallenge(servername, host, socket)
    const own = ownContext(socket.server, servername)
    const misconfigured = clientVerificationFault(socket, contexts, own !== undefined)
    if (misconfigured !== undefined) {
      if (host === undefined) source.onInvalidName(servername)
      else source.onMisconfigured(host, new TypeError(misconfigured))
      throw new HandshakeRefusal(`acme-cert-cache: ${misconfigured}`)
    }
    if (own) return own
    if (host === undefined) return void source.onInvalidName(servername)
    const live = source.fromMemory(host)
    return live ? contexts.of(live) : source.obtain(host, dottedAddress(socket.remoteAddress)).then(contextOf)
  }

  function findChallenge(servername: string, host: Host | undefined, socket: ServerSocket) {
    if (host === undefined) return void source.onInvalidName(servername)
    return source.pendingChallenge(host) ?? source.storedChallenge(host, dottedAddress(socket.remoteAddress))
  }

  /** Returns an error if the client would get another certificate than the context's. Warns once per server. */
  function findConflict(socket: ServerSocket, context: SecureContext | undefined): Error | null {
    try {
      if (!context) {
        // With the server's own certificate, the client would reach the application.
        const isWrong = validationSockets.has(socket) && hasOwnCertificate(socket)
        return isWrong ? new Error(`acme-cert-cache: ${noChallenge}`) : null
      }
      const conflict = keyTypeConflict(socket, context)
      if (conflict === 'none') return null
      warnOnce(socket.server ?? callbacks) // `callbacks` stands for sockets without a server
      return conflict === 'wrong' ? new Error(`acme-cert-cache: ${otherKeyType}`) : null
    } catch (thrown) {
      warnUnhandled(thrown)
      return null
    }
  }

  const SNICallback: TlsCallbacks['SNICallback'] = function (this: unknown, servername, callback) {
    const socket = (this ?? {}) as ServerSocket
    const passOn = (context?: SecureContext) => callback(findConflict(socket, context), context)
    const fail = (thrown: unknown) => {
      if (thrown instanceof HandshakeRefusal) return callback(thrown)
      warnUnhandled(thrown)
      passOn()
    }
    let result: ReturnType<typeof findContext>
    try {
      result = findContext(servername, socket)
    } catch (thrown) {
      return fail(thrown)
    }
    if (!(result instanceof Promise)) return passOn(result)
    result.then(
      (context) => callSafely(() => passOn(context)),
      (thrown) => callSafely(() => fail(thrown)),
    )
  }

  /**
   * Marks the socket for SNICallback, or under TLS 1.2 sets the answer directly. Returns the protocol; `undefined`, which
   * ends the handshake, if there is no answer: the client would otherwise reach the application.
   */
  function prepareValidation(socket: ServerSocket, servername: string): string | undefined {
    // The answer's context has no CAs for client certificates; and a client without SNI never reaches SNICallback.
    if (requestedVerification(socket) || !servername) return undefined
    closeAfterHandshake(socket)
    if (socket.getProtocol() === 'TLSv1.3') {
      validationSockets.add(socket)
      return acmeTlsProtocol
    }
    const host = normalizeHost(servername)
    const context = host === undefined ? undefined : source.pendingChallenge(host)
    if (context) socket.setKeyCert(context)
    return context && acmeTlsProtocol
  }

  const ALPNCallback: TlsCallbacks['ALPNCallback'] = function (this: unknown, { servername, protocols }) {
    try {
      const socket = this as ServerSocket
      if (protocols.length === 1 && protocols[0] === acmeTlsProtocol)
        return prepareValidation(socket, servername)
      const preferred = alpnProtocols ?? defaultProtocols(socket.server)
      if (preferred) return preferred.find((protocol) => protocols.includes(protocol))
      return protocols.find((protocol) => !neverAssumed.includes(protocol))
    } catch (thrown) {
      warnUnhandled(thrown)
      return undefined
    }
  }

  const callbacks = { SNICallback, ALPNCallback }
  return callbacks
}

/** Returns the options of the server, or of a socket without a server, if they request client certificates. */
function requestedVerification(socket: ServerSocket): ClientVerification | undefined {
  if (socket.server?.requestCert) return socket.server
  if (socket._tlsOptions?.requestCert) return socket._tlsOptions
  return socket.requestCert ? socket : undefined
}

/** Returns what keeps client certificates from being verified as the server's options say. */
function clientVerificationFault(
  socket: ServerSocket,
  contexts: ServerContexts,
  hasOwnContext: boolean,
): string | undefined {
  const wanted = requestedVerification(socket)
  if (!wanted) return undefined
  if (hasOwnContext) return ownClientCas
  const given = contexts.options
  if (given?.ca === undefined) return noClientCas
  if (wanted.ca === given.ca && wanted.crl === given.crl) return undefined
  const [one, other] = [wanted, given].map(({ ca, crl }) => sessionIdContextOf({ ca, crl }))
  return one === other ? undefined : otherClientCas
}

/**
 * Closes the connection of a validation once the CA has seen the certificate (RFC 8737 section 3), so that it reaches no
 * application. A resumed session skips SNICallback, but not this.
 */
function closeAfterHandshake(socket: ServerSocket): void {
  // Node asks this before it emits `secureConnection`.
  socket._releaseControl = () => false
  // The last bytes of the handshake are not sent yet.
  socket.prependOnceListener('secure', () => setImmediate(() => socket.destroy()))
}

/** Ends a handshake: Node emits it as `tlsClientError`. */
class HandshakeRefusal extends TypeError {}

/**
 * What no plain TLS server is assumed to speak. Without an ALPNCallback Node would negotiate nothing there, but a callback
 * must choose or end the handshake: it chooses the client's first other protocol, of which `http/1.1` changes nothing.
 */
const neverAssumed: readonly string[] = ['h2', 'h3', acmeTlsProtocol]

/** Returns what the server negotiates without an ALPNCallback. A plain `tls.Server` has no default. */
function defaultProtocols(server: object | undefined): readonly string[] | undefined {
  if (!server) return undefined
  if ('updateSettings' in server) return ['h2', 'http/1.1'] // http2.createSecureServer
  if ('closeAllConnections' in server) return ['http/1.1'] // https.createServer
  return undefined
}
