import type { CertCache } from '../../cache/cert-cache.js'
import { isPlaintext } from '../../cache/envelope.js'
import type { StorageLayout } from '../../certificates/storage-layout.js'

/** Whether it is a value of EncryptedCertCache, for which the command has no key. */
export const isEncrypted = (data: Uint8Array | undefined): boolean =>
  data !== undefined && data.byteLength > 0 && !isPlaintext(data)

/** Whether the servers encrypt what they store: nothing of theirs is there before the account's key. */
export async function serversEncrypt(store: CertCache, { accountKey }: StorageLayout): Promise<boolean> {
  return isEncrypted(await store.get(accountKey))
}
