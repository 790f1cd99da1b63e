import type { Server } from 'node:tls'
import type { Certificate } from './certificate.js'
import type { Clock } from './clock.js'
import { guarded } from './guarded.js'

/** The clock is looked at so often at least, so that one that was set is noticed. */
const longestWaitMs = 600_000

/** What `setSecureContext` would put back to Node's defaults: for all handshakes, those with SNI too. */
const carried = [
  ...['ca', 'ciphers', 'crl', 'dhparam', 'ecdhCurve', 'honorCipherOrder', 'maxVersion', 'minVersion'],
  ...['secureOptions', 'secureProtocol', 'sessionIdContext', 'sessionTimeout', 'sigalgs'],
] as const

/**
 * Servers whose default context, what a client without SNI gets, is kept on one host's certificate; without one from
 * when that has expired.
 */
export class DefaultHostServers {
  readonly #servers = new Set<Server>()
  #stopWatch = () => {}

  constructor(
    private readonly clock: Clock,
    private readonly closing: AbortSignal,
  ) {
    closing.addEventListener('abort', () => this.#stopWatch())
  }

  add(server: Server): void {
    this.#servers.add(server)
    server.once('close', () => this.#servers.delete(server))
  }

  update({ key, cert, notAfter }: Certificate): void {
    this.#replace({ key, cert })
    this.#watch(notAfter.getTime())
  }

  #watch(notAfter: number): void {
    this.#stopWatch()
    const left = notAfter - this.clock.now()
    if (left <= 0) return this.#replace({})
    if (this.closing.aborted) return
    this.#stopWatch = this.clock.after(Math.min(left, longestWaitMs), () => this.#watch(notAfter))
  }

  #replace(credentials: { key?: string; cert?: string }): void {
    for (const server of this.#servers) guarded(() => replaceCredentials(server, credentials))
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
