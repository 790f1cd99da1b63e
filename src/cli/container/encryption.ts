import type { CertCache } from '../../cache/cert-cache.js'
import { isPlaintext } from '../../cache/encryption/envelope.js'
import { entryKey } from '../../certificates/storage-layout.js'

/** Returns whether EncryptedCertCache wrote the value. The command has no key to decrypt it. */
export const isEncrypted = (data: Uint8Array | undefined): boolean =>
  data !== undefined && data.byteLength > 0 && !isPlaintext(data)

/** Returns whether the servers encrypt what they store. Checks the account key, which servers write first. */
export async function isStoreEncrypted(store: CertCache, ca: string): Promise<boolean> {
  return isEncrypted(await store.get(entryKey({ kind: 'account key', ca })))
}
