// The contract that every store keeps: node --test custom-store/
import { test } from 'node:test'
import { certCacheContract } from 'acme-cert-cache/testing'
import { WebDavCertCache } from './store.js'
import { startWebDav } from './webdav.js'

const backend = {
  /** Opens an empty folder for each case. `peer` is the store of another server. */
  async open() {
    const { folder, close } = await startWebDav()
    return { store: new WebDavCertCache(folder), peer: async () => new WebDavCertCache(folder), close }
  },
  without: /** @type {const} */ (['locks', 'list', 'cutOff']),
}

for (const { name, run, timeoutMs } of certCacheContract(backend))
  test(name, { timeout: timeoutMs + 10_000 }, run)
