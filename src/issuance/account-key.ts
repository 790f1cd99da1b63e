import { createPrivateKey } from 'node:crypto'
import type { CertCache } from '../cache/cert-cache.js'
import { runOncePerFleet } from '../cache/once-per-fleet.js'
import { exportKey, generateKey } from '../certificates/private-key.js'
import type { StorageLayout } from '../certificates/storage-layout.js'
import type { Clock } from '../util/clock.js'
import { StoreError } from '../util/errors.js'

/** Resolves with the private key of the fleet's ACME account, in PEM. If the store has none, creates and stores one. */
export async function readOrCreateAccountKey(
  store: CertCache,
  layout: StorageLayout,
  clock: Clock,
  signal: AbortSignal,
): Promise<string> {
  const name = layout.accountKey
  const read = async (key: string) => {
    const data = await store.get(key, { signal })
    return data && parseAccountKey(data, key)
  }
  return (
    (await read(name)) ??
    (await read(layout.legacyAccountKey)) ??
    runOncePerFleet({
      store,
      name,
      clock,
      signal,
      find: () => read(name),
      async work(lock) {
        const accountKey = exportKey(await generateKey('ecdsa-p256'))
        lock?.signal.throwIfAborted()
        await store.put(name, Buffer.from(accountKey), { signal: lock?.signal ?? signal })
        return { value: accountKey }
      },
    })
  )
}

/** Throws on invalid data: a new key in its place would abandon the account and what the CA has granted it. */
function parseAccountKey(data: Uint8Array, storedAs: string): string {
  try {
    return exportKey(createPrivateKey(Buffer.from(data)))
  } catch {
    throw new StoreError(
      'ERR_STORE_FAILED',
      `the ACME account key stored as ${storedAs} is not a private key in PEM: restore it, or delete it to register a new account`,
    )
  }
}
