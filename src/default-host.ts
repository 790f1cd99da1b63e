import type { Server } from 'node:tls'
import type { Certificate } from './certificate.js'
import { guarded } from './guarded.js'

/** Servers whose default context, what a client without SNI gets, is kept on one host's certificate. */
export class DefaultHostServers {
  readonly #servers = new Set<Server>()

  add(server: Server): void {
    this.#servers.add(server)
    server.once('close', () => this.#servers.delete(server))
  }

  /** Connections and sessions that exist go on. */
  update({ key, cert }: Certificate): void {
    for (const server of this.#servers) guarded(() => server.setSecureContext({ key, cert }))
  }
}
