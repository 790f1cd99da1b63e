import type { Server } from 'node:tls'

/** The servers that were passed to `attach()`, until they or the manager are closed. */
export class AttachedServers {
  readonly #servers = new Map<Server, () => void>()
  readonly #closing: AbortSignal

  constructor(closing: AbortSignal) {
    this.#closing = closing
    closing.addEventListener('abort', () => {
      for (const [server, onClose] of this.#servers) server.off('close', onClose)
    })
  }

  /** Returns false, and does nothing, if the server is attached already or the manager is closed. */
  add(server: Server): boolean {
    if (this.#servers.has(server) || this.#closing.aborted) return false
    const onClose = () => void this.#servers.delete(server)
    this.#servers.set(server, onClose)
    server.once('close', onClose)
    return true
  }

  [Symbol.iterator](): Iterator<Server> {
    return this.#servers.keys()
  }
}
