// A store on a WebDAV folder, such as one of nginx with `dav_methods PUT DELETE`. It has no locks, so each server may
// place an order of its own for the same host. Add tryLock() to prevent that.
import { assertCacheKey } from 'acme-cert-cache'

/** @import { CertCache } from 'acme-cert-cache' */

/** @implements {CertCache} */
export class WebDavCertCache {
  /** @param {string} folder the URL of the folder, with a `/` at the end */
  constructor(folder) {
    this.folder = folder
  }

  /** @type {CertCache['get']} */
  async get(key, options) {
    const response = await this.send('GET', key, options)
    return response && new Uint8Array(await response.arrayBuffer())
  }

  /** @type {CertCache['put']} */
  async put(key, data, options) {
    if (!(await this.send('PUT', key, options, data))) throw new Error(`${this.folder} does not exist`)
  }

  /** @type {CertCache['delete']} */
  async delete(key, options) {
    await this.send('DELETE', key, options)
  }

  /**
   * Returns undefined only if the key does not exist. Throws on every other failure: otherwise the manager would order.
   * @param {string} method @param {string} key @param {{ signal?: AbortSignal }} [options] @param {Uint8Array} [data]
   */
  async send(method, key, options, data) {
    assertCacheKey(key)
    const body = data && Buffer.from(data)
    const response = await fetch(this.folder + encodeURIComponent(key), { ...options, method, body })
    if (response.status === 404) return undefined
    if (!response.ok) throw new Error(`${method} ${response.url}: ${response.status}`)
    return response
  }
}
