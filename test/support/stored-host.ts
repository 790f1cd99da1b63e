import { CertManager, type CertManagerOptions } from '../../src/index.js'
import { makeBundle } from './certificates.js'
import { LockingStore } from './locking-store.js'

/** A manager whose store has a certificate for each host. Its CA cannot be reached. */
export async function storedHosts(
  hosts: readonly string[],
  options: Partial<CertManagerOptions> = {},
  store: LockingStore = new LockingStore(),
) {
  for (const host of hosts)
    if (!store.values.has(host)) store.values.set(host, (await makeBundle({ host })).data)
  const manager = new CertManager({
    cache: store,
    hostPolicy: hosts,
    acme: { termsOfServiceAgreed: true, directoryUrl: 'https://127.0.0.1:1/directory', keyPrefix: '' },
    ...options,
  })
  return { manager, store }
}
