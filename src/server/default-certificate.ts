import type { Server } from 'node:tls'
import type { Certificate } from '../certificates/certificate.js'
import type { Clock } from '../util/clock.js'
import { callSafely } from '../util/safe-call.js'

/** Longest interval between two checks for expiry, so that a change of the clock is noticed. */
const maxCheckIntervalMs = 600_000

/** Options that `setSecureContext` resets, for handshakes with SNI as well, unless they are passed again. */
const preservedOptions = [
  ...['ca', 'certificateCompression', 'ciphers', 'crl', 'dhparam', 'ecdhCurve', 'honorCipherOrder'],
  ...['maxVersion', 'minVersion', 'secureOptions', 'secureProtocol', 'sessionIdContext', 'sessionTimeout'],
  'sigalgs',
] as const

/** The options of a server's own certificate. */
const ownCertificate = [
  ...['cert', 'clientCertEngine', 'key', 'passphrase', 'pfx', 'privateKeyEngine'],
  'privateKeyIdentifier',
] as const

/** The keys of the certificates that were installed. */
const keys = new WeakMap<Server, string | undefined>()

/** Installs one host's certificate in the default contexts of servers, for clients without SNI, until it expires. */
export class DefaultCertificate {
  readonly #servers: Iterable<Server>
  /** Whether the current certificate is installed. `undefined`: not decided yet. */
  #isInstalled: boolean | undefined
  #cancelTimer = () => {}

  readonly #clock: Clock
  readonly #closing: AbortSignal

  constructor(servers: Iterable<Server>, clock: Clock, closing: AbortSignal) {
    this.#servers = servers
    this.#clock = clock
    this.#closing = closing
    closing.addEventListener('abort', () => this.#cancelTimer())
  }

  /** Installs the certificate on all servers, until it expires or the next call. */
  update(certificate: Certificate): void {
    this.#isInstalled = undefined
    this.#installUntilExpiry(certificate)
  }

  #installUntilExpiry(certificate: Certificate): void {
    const { key, cert, notAfter } = certificate
    this.#cancelTimer()
    const remainingMs = notAfter.getTime() - this.#clock.now()
    const isValid = remainingMs > 0
    if (isValid !== this.#isInstalled) {
      const credentials = isValid ? { key, cert } : {}
      for (const server of this.#servers) callSafely(() => setCredentials(server, credentials))
    }
    this.#isInstalled = isValid
    if (this.#closing.aborted) return
    // An expired certificate becomes valid again if a clock that was ahead is corrected.
    const intervalMs = isValid ? Math.min(remainingMs, maxCheckIntervalMs) : maxCheckIntervalMs
    this.#cancelTimer = this.#clock.after(intervalMs, () => this.#installUntilExpiry(certificate))
  }
}

/** Replaces the certificate of the default context. Does not affect existing connections and sessions. */
function setCredentials(server: Server, credentials: { key?: string; cert?: string }): void {
  updateContext(server, credentials)
  // The context has the key; as a property it would appear wherever the server is logged.
  optionsOf(server).key = undefined
  keys.set(server, credentials.key)
}

/**
 * Sets the `sessionIdContext` of a server, which Node derives from the command line by default: machines with another one
 * do not accept a session. Keeps the server's own certificate.
 */
export function setSessionIdContext(server: Server, sessionIdContext: string): void {
  const options = optionsOf(server)
  if (options.sessionIdContext === sessionIdContext) return
  const own = Object.fromEntries(ownCertificate.map((name) => [name, options[name]]))
  const isHidden = options.key === undefined
  updateContext(server, { ...own, key: isHidden ? keys.get(server) : options.key, sessionIdContext })
  if (isHidden) options.key = undefined
}

function updateContext(server: Server, changed: Record<string, unknown>): void {
  const options = optionsOf(server)
  const preserved = Object.fromEntries(preservedOptions.map((name) => [name, options[name]]))
  const { ticketKeys } = options
  server.setSecureContext({ ...preserved, ...changed, ticketKeys: server.getTicketKeys() })
  // Node would use these again in a later setSecureContext() of the application.
  options.ticketKeys = ticketKeys
}

/** A Node server has its options as properties. */
const optionsOf = (server: Server) => server as unknown as Record<string, unknown>
