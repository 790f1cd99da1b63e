import type { Server } from 'node:tls'
import type { Certificate } from '../certificates/certificate.js'
import type { Clock } from '../util/clock.js'
import { callSafely } from '../util/safe-call.js'

/** The clock is looked at so often at least, so that one that was set is noticed. */
const longestWaitMs = 600_000

/** What `setSecureContext` would put back to Node's defaults: for all handshakes, those with SNI too. */
const carried = [
  ...['ca', 'certificateCompression', 'ciphers', 'crl', 'dhparam', 'ecdhCurve', 'honorCipherOrder'],
  ...['maxVersion', 'minVersion', 'secureOptions', 'secureProtocol', 'sessionIdContext', 'sessionTimeout'],
  'sigalgs',
] as const

/**
 * Servers whose default context, what a client without SNI gets, is kept on one host's certificate; without one from
 * when that has expired.
 */
export class DefaultCertificateServers {
  readonly #servers = new Set<Server>()
  /** Whether the servers have it. */
  #isShown: boolean | undefined
  #stopWatch = () => {}

  private readonly clock: Clock
  private readonly closing: AbortSignal

  constructor(clock: Clock, closing: AbortSignal) {
    this.clock = clock
    this.closing = closing
    closing.addEventListener('abort', () => this.#stopWatch())
  }

  add(server: Server): void {
    this.#servers.add(server)
    server.once('close', () => this.#servers.delete(server))
  }

  update(certificate: Certificate): void {
    this.#isShown = undefined
    this.#watch(certificate)
  }

  /** An expired one is watched on: it may have expired by a clock that is set right again. */
  #watch(certificate: Certificate): void {
    const { key, cert, notAfter } = certificate
    this.#stopWatch()
    const left = notAfter.getTime() - this.clock.now()
    const isValid = left > 0
    if (isValid !== this.#isShown) this.#replace(isValid ? { key, cert } : {})
    this.#isShown = isValid
    if (this.closing.aborted) return
    const waitMs = isValid ? Math.min(left, longestWaitMs) : longestWaitMs
    this.#stopWatch = this.clock.after(waitMs, () => this.#watch(certificate))
  }

  #replace(credentials: { key?: string; cert?: string }): void {
    for (const server of this.#servers) callSafely(() => replaceCredentials(server, credentials))
  }
}

/** Connections and sessions that exist go on. */
function replaceCredentials(server: Server, credentials: { key?: string; cert?: string }): void {
  // Node keeps the options of a server as its properties.
  const options = server as unknown as Record<string, unknown>
  const kept = Object.fromEntries(carried.map((name) => [name, options[name]]))
  server.setSecureContext({ ...kept, ...credentials, ticketKeys: server.getTicketKeys() })
  // It is in the context, and would be in whatever shows the server.
  options.key = undefined
}
