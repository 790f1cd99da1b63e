import type { SecureContext, TLSSocket } from 'node:tls'
import { acmeTlsProtocol } from '../acme/challenges.js'
import { normalizeHost } from '../certificates/hostname.js'
import { callSafely, warnUnhandled } from '../util/safe-call.js'

/** What `https.createServer`, `http2.createSecureServer` and `tls.createServer` take. */
export interface TlsCallbacks {
  SNICallback(servername: string, callback: (error: Error | null, context?: SecureContext) => void): void
  ALPNCallback(offer: { servername: string; protocols: string[] }): string | undefined
}

/** Where the contexts come from, on the way of a handshake. */
export interface ContextSource {
  /** The host's live context, in the same tick; `undefined` if memory has none that may be served. */
  fromMemory(host: string): SecureContext | undefined
  /** By way of policy, store and CA, within the handshake's budget; `undefined` if it can't be had. */
  fromElsewhere(host: string): Promise<SecureContext | undefined>
  /** The answer to a tls-alpn-01 challenge that this process waits for. */
  pendingChallenge(host: string): SecureContext | undefined
  /** Any machine's answer to a tls-alpn-01 challenge, within the handshake's budget. `client`: an address. */
  challenge(host: string, client: string): Promise<SecureContext | undefined>
  /** The name in a ClientHello is none that could have a certificate. */
  onIllegalName(servername: string): void
}

/** Not in Node's documentation: the server of a socket, and whether it asks for client certificates. */
type ServerSocket = TLSSocket & { readonly server?: { readonly requestCert?: boolean } }

// Node verifies clients against the SNI context's CAs, so against its default roots instead of the server's `ca`:
// it would let in whoever has a certificate of any public CA.
const noClientCertificates =
  'acme-cert-cache: a server with requestCert can not use tlsOptions(): client certificates would be verified against the wrong CAs'

/**
 * The two callbacks of a TLS server. Both are plain functions that never throw, and SNICallback calls back
 * exactly once, whatever happens behind it: without a context where there is none for the name. The server's
 * default context then decides: with a certificate it serves that, else it sends the alert handshake_failure.
 *
 * Under TLS 1.3 OpenSSL asks for ALPN before SNI, so ALPNCallback marks the sockets of a CA that validates
 * tls-alpn-01. Under TLS 1.2 it asks after it, and only an answer that is in memory can still be given.
 */
export function tlsCallbacks(
  source: ContextSource,
  alpnProtocols: readonly string[] | undefined,
): TlsCallbacks {
  const validations = new WeakSet<object>()

  function SNICallback(
    this: unknown,
    servername: string,
    callback: (error: Error | null, context?: SecureContext) => void,
  ): void {
    let found: SecureContext | undefined | Promise<SecureContext | undefined>
    if ((this as ServerSocket | undefined)?.server?.requestCert)
      return callback(new TypeError(noClientCertificates))
    try {
      found = contextFor(servername, validations.has(this as object) ? (this as ServerSocket) : undefined)
    } catch (thrown) {
      warnUnhandled(thrown)
    }
    if (!(found instanceof Promise)) return callback(null, found)
    const failed = (thrown: unknown) => {
      warnUnhandled(thrown)
      return undefined
    }
    found.catch(failed).then((context) => callSafely(() => callback(null, context)))
  }

  function contextFor(servername: string, validation: ServerSocket | undefined) {
    const host = normalizeHost(servername)
    if (host === undefined) return source.onIllegalName(servername) as undefined
    if (validation)
      return source.pendingChallenge(host) ?? source.challenge(host, validation.remoteAddress ?? '')
    return source.fromMemory(host) ?? source.fromElsewhere(host)
  }

  function ALPNCallback(
    this: unknown,
    { servername, protocols }: { servername: string; protocols: string[] },
  ) {
    try {
      const socket = this as ServerSocket
      if (protocols.length === 1 && protocols[0] === acmeTlsProtocol) {
        answerValidation(socket, servername)
        return acmeTlsProtocol
      }
      const wanted = alpnProtocols ?? protocolsOf(socket.server)
      return wanted ? wanted.find((protocol) => protocols.includes(protocol)) : protocols[0]
    } catch (thrown) {
      warnUnhandled(thrown)
      return undefined
    }
  }

  function answerValidation(socket: TLSSocket, servername: string): void {
    if (socket.getProtocol() === 'TLSv1.3') return void validations.add(socket)
    const host = normalizeHost(servername)
    const context = host === undefined ? undefined : source.pendingChallenge(host)
    if (context) socket.setKeyCert(context)
  }

  return { SNICallback, ALPNCallback }
}

/** What the server would negotiate without an ALPNCallback; a plain `tls.Server` has no wish of its own. */
function protocolsOf(server: object | undefined): readonly string[] | undefined {
  if (!server) return undefined
  if ('updateSettings' in server) return ['h2', 'http/1.1'] // http2.createSecureServer
  if ('closeAllConnections' in server) return ['http/1.1'] // https.createServer
  return undefined
}
