import type { Server } from 'node:tls'

/** The servers that were passed to `attach()`, until they or the manager are closed. */
export class AttachedServers {
  /** Each with the function that removes its listeners. */
  readonly #servers = new Map<Server, () => void>()
  readonly #closing: AbortSignal
  readonly #onListening: (server: Server) => void

  /** @param onListening called when a server begins to listen: in a cluster, Node then replaces its ticket keys */
  constructor(closing: AbortSignal, onListening: (server: Server) => void) {
    this.#closing = closing
    this.#onListening = onListening
    closing.addEventListener('abort', () => {
      for (const removeListeners of this.#servers.values()) removeListeners()
    })
  }

  /** Returns false, and does nothing, if the server is attached already or the manager is closed. */
  add(server: Server): boolean {
    if (this.#servers.has(server) || this.#closing.aborted) return false
    const onListening = () => this.#onListening(server)
    const onClose = () => {
      removeListeners()
      this.#servers.delete(server)
    }
    const removeListeners = () => {
      server.off('listening', onListening)
      server.off('close', onClose)
    }
    server.on('listening', onListening)
    server.on('close', onClose)
    this.#servers.set(server, removeListeners)
    return true
  }

  [Symbol.iterator](): Iterator<Server> {
    return this.#servers.keys()
  }
}
