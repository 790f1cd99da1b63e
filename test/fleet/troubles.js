import { closeSync, openSync } from 'node:fs'
import https from 'node:https'
import { devNull } from 'node:os'
import { StoreError } from 'acme-cert-cache'

/** The troubles of one machine, which its test switches on and off. */
export class Troubles {
  #isReadOnly = false
  #hasEgress = true
  /** @type {number[]} */
  #descriptors = []
  /** @type {Set<import('node:stream').Duplex>} */
  #sockets = new Set()
  /** The agent for the connections to the CA. */
  agent = new https.Agent({ keepAlive: true })

  constructor() {
    const connect = this.agent.createConnection.bind(this.agent)
    this.agent.createConnection = (options, callback) => {
      if (!this.#hasEgress) throw Object.assign(new Error('no egress'), { code: 'ENETUNREACH' })
      const socket = /** @type {import('node:stream').Duplex} */ (connect(options, callback))
      this.#sockets.add(socket)
      socket.once('close', () => this.#sockets.delete(socket))
      return socket
    }
  }

  /** Missing members end their trouble. */
  set(
    /** @type {{ isReadOnly?: boolean, hasEgress?: boolean, hasDescriptors?: boolean }} */ {
      isReadOnly = false,
      hasEgress = true,
      hasDescriptors = true,
    },
  ) {
    this.#isReadOnly = isReadOnly
    this.#hasEgress = hasEgress
    if (!hasEgress) for (const socket of this.#sockets) socket.destroy()
    for (const descriptor of this.#descriptors.splice(0)) closeSync(descriptor)
    try {
      while (!hasDescriptors) this.#descriptors.push(openSync(devNull, 'r'))
    } catch {
      // None is left.
    }
  }

  /**
   * @template {import('acme-cert-cache').LockingCertCache} T
   * @param {T} store
   * @returns {T} the store, which refuses writes while the machine may only read
   */
  wrap(store) {
    const refuse = () => {
      if (this.#isReadOnly) throw new StoreError('ERR_STORE_PERMISSION', 'this machine may only read')
    }
    return new Proxy(store, {
      get(target, name) {
        const member = Reflect.get(target, name)
        if (typeof member !== 'function') return member
        return async (/** @type {unknown[]} */ ...args) => {
          if (['put', 'delete', 'tryLock'].includes(String(name))) refuse()
          return member.apply(target, args)
        }
      },
    })
  }
}
