import { createPrivateKey } from 'node:crypto'
import type { CertCache } from './cache.js'
import { exportKey } from './certificate.js'
import { IssuanceError } from './errors.js'
import { generateKey } from './keys.js'
import type { StoredLayout } from './layout.js'

/** The ACME account's private key, PEM: the one the fleet has in the store, or a new one, stored first. */
export async function readOrMakeAccountKey(store: CertCache, layout: StoredLayout): Promise<string> {
  for (const key of [layout.accountKey, layout.legacyAccountKey]) {
    const data = await store.get(key)
    if (data) return parseAccountKey(data, key)
  }
  const made = exportKey(await generateKey('ecdsa-p256'))
  await store.put(layout.accountKey, Buffer.from(made))
  return made
}

/** Rubbish is not replaced: with the key would go the account, and what the CA has granted it. */
function parseAccountKey(data: Uint8Array, storedAs: string): string {
  try {
    return exportKey(createPrivateKey(Buffer.from(data)))
  } catch {
    throw new IssuanceError(
      'ERR_ISSUANCE_FAILED',
      `the ACME account key stored as ${storedAs} is not a private key in PEM: restore it, or delete it to register a new account`,
    )
  }
}
