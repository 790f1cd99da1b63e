import type { SecureContext, TLSSocket } from 'node:tls'
import { acmeTlsProtocol } from '../acme/challenges.js'
import { type Host, normalizeHost } from '../certificates/hostname.js'
import { callSafely, warn, warnUnhandled } from '../util/safe-call.js'
import { keyTypeConflict } from './default-key-type.js'

/** Options for `https.createServer`, `http2.createSecureServer` and `tls.createServer`. */
export interface TlsCallbacks {
  /** Calls back with the context for `servername`, or without one if it has no certificate. */
  SNICallback(servername: string, callback: (error: Error | null, context?: SecureContext) => void): void
  /** Returns the protocol to negotiate, or `undefined` if there is none in common. */
  ALPNCallback(offer: { servername: string; protocols: string[] }): string | undefined
}

/** Provides the contexts for handshakes. The promises settle within the time limit of a handshake. */
export interface ContextSource {
  /** Returns the host's context synchronously; `undefined` if memory has no certificate that may be served. */
  fromMemory(host: Host): SecureContext | undefined
  /** Resolves with a context from the store or the CA; with `undefined` if that fails. Subject to the host policy. */
  obtain(host: Host): Promise<SecureContext | undefined>
  /** Returns the answer to a tls-alpn-01 challenge of an order in this process. */
  pendingChallenge(host: Host): SecureContext | undefined
  /**
   * Resolves with the answer to a tls-alpn-01 challenge of any machine's order.
   * @param client the client's IP address
   */
  storedChallenge(host: Host, client: string): Promise<SecureContext | undefined>
  /** Called for a server name that no public CA issues a certificate for. */
  onInvalidName(servername: string): void
}

/** Undocumented in Node: a socket's server and options, and whether they request client certificates. */
type ServerSocket = TLSSocket & {
  readonly server?: { readonly requestCert?: boolean }
  /** Present on all sockets, also on those that the application creates itself, without a server. */
  readonly _tlsOptions?: { readonly requestCert?: boolean }
}

// Node verifies client certificates against the CAs of the SNI context, here its default roots, and ignores the
// `ca` of the server or the socket: it would authorise the holder of any publicly trusted certificate.
const noClientCertificates =
  'acme-cert-cache: tlsOptions() does not support requestCert: Node would verify client certificates against its default CAs. Remove requestCert.'

const otherKeyType =
  'the default certificate of a server (key and cert) has another key type than the certificate of its hosts. Before version 24, Node may serve the default one (nodejs/node#54235), so tlsOptions() refuses such handshakes, all of them under TLS 1.2. Give the default certificate the key type of the manager (keyType), remove it, or use Node 24.'

/**
 * Creates the two callbacks of a TLS server. Neither throws, and SNICallback calls back exactly once. For a name
 * without a certificate it passes no context. Node then uses the server's default context, and sends the TLS alert
 * handshake_failure if that has no certificate either.
 *
 * Under TLS 1.3 OpenSSL calls ALPNCallback before SNICallback, so ALPNCallback marks the sockets of tls-alpn-01
 * validations for SNICallback. Under TLS 1.2 ALPNCallback comes last and must answer synchronously, and SNICallback has
 * waited for the host's certificate before: only a challenge of a renewal in this process can be answered.
 */
export function tlsCallbacks(source: ContextSource, alpnProtocols?: readonly string[]): TlsCallbacks {
  /** Sockets on which a CA validates a tls-alpn-01 challenge. */
  const validationSockets = new WeakSet<object>()
  /** The servers with a warning about their default certificate. `callbacks` stands for sockets without a server. */
  const warned = new WeakSet<object>()

  function findContext(servername: string, socket: ServerSocket) {
    const host = normalizeHost(servername)
    if (host === undefined) return void source.onInvalidName(servername)
    if (!validationSockets.has(socket)) return source.fromMemory(host) ?? source.obtain(host)
    return source.pendingChallenge(host) ?? source.storedChallenge(host, socket.remoteAddress ?? '')
  }

  /** Returns an error if the client would get another certificate than the context's. Warns once per server. */
  function findConflict(socket: ServerSocket, context: SecureContext | undefined): Error | null {
    try {
      const conflict = context ? keyTypeConflict(socket, context) : 'none'
      if (conflict === 'none') return null
      const server = socket.server ?? callbacks
      if (!warned.has(server)) warn(otherKeyType)
      warned.add(server)
      return conflict === 'wrong' ? new Error(`acme-cert-cache: ${otherKeyType}`) : null
    } catch (thrown) {
      warnUnhandled(thrown)
      return null
    }
  }

  const SNICallback: TlsCallbacks['SNICallback'] = function (this: unknown, servername, callback) {
    const socket = (this ?? {}) as ServerSocket
    if (socket.server?.requestCert || socket._tlsOptions?.requestCert)
      return callback(new TypeError(noClientCertificates))
    let result: ReturnType<typeof findContext>
    try {
      result = findContext(servername, socket)
    } catch (thrown) {
      warnUnhandled(thrown)
    }
    const passOn = (context?: SecureContext) => callback(findConflict(socket, context), context)
    if (!(result instanceof Promise)) return passOn(result)
    const passOnSafely = (context?: SecureContext) => callSafely(() => passOn(context))
    result.then(passOnSafely, (thrown) => {
      warnUnhandled(thrown)
      passOnSafely()
    })
  }

  /** Marks the socket for SNICallback, or under TLS 1.2 sets the answer directly. */
  function prepareValidation(socket: TLSSocket, servername: string): void {
    if (socket.getProtocol() === 'TLSv1.3') return void validationSockets.add(socket)
    const host = normalizeHost(servername)
    const context = host === undefined ? undefined : source.pendingChallenge(host)
    if (context) socket.setKeyCert(context)
  }

  const ALPNCallback: TlsCallbacks['ALPNCallback'] = function (this: unknown, { servername, protocols }) {
    try {
      const socket = this as ServerSocket
      if (protocols.length === 1 && protocols[0] === acmeTlsProtocol) {
        prepareValidation(socket, servername)
        return acmeTlsProtocol
      }
      const preferred = alpnProtocols ?? defaultProtocols(socket.server)
      return preferred ? preferred.find((protocol) => protocols.includes(protocol)) : protocols[0]
    } catch (thrown) {
      warnUnhandled(thrown)
      return undefined
    }
  }

  const callbacks = { SNICallback, ALPNCallback }
  return callbacks
}

/** Returns what the server negotiates without an ALPNCallback. A plain `tls.Server` has no default. */
function defaultProtocols(server: object | undefined): readonly string[] | undefined {
  if (!server) return undefined
  if ('updateSettings' in server) return ['h2', 'http/1.1'] // http2.createSecureServer
  if ('closeAllConnections' in server) return ['http/1.1'] // https.createServer
  return undefined
}
