import { createPrivateKey } from 'node:crypto'
import { isPlaintext } from '../cache/encryption/envelope.js'
import { exportKey, generateKey } from '../certificates/private-key.js'
import { entryKey } from '../certificates/storage-layout.js'
import { StoreError } from '../util/errors.js'
import type { AccountKeyEntry, CaStore } from './store/ca-store.js'

/** Resolves with the private key of the fleet's ACME account, in PEM. If the store has none, creates and stores one. */
export async function readOrCreateAccountKey(store: CaStore, signal: AbortSignal): Promise<string> {
  const entry = { kind: 'account key', ca: store.ca } as const
  const read = async (from: AccountKeyEntry) => {
    const data = await store.readAccountKey(from, { signal })
    return data && parseAccountKey(data, entryKey(from))
  }
  const find = () => read(entry)
  return (
    (await find()) ??
    (await read({ ...entry, kind: 'legacy account key' })) ??
    store.runOnce(entry, {
      signal,
      find,
      async work(lock) {
        const accountKey = exportKey(await generateKey('ecdsa-p256'))
        lock?.signal.throwIfAborted()
        await store.writeAccountKey(accountKey, { signal: lock?.signal ?? signal })
        return { value: accountKey }
      },
    })
  )
}

/** Throws on invalid data. Replacing it with a new key would abandon the account and its limits at the CA. */
function parseAccountKey(data: Uint8Array, storedAs: string): string {
  try {
    return exportKey(createPrivateKey(Buffer.from(data)))
  } catch {
    if (data.byteLength > 0 && !isPlaintext(data))
      throw new StoreError(
        'ERR_STORE_DECRYPT',
        `the ACME account key stored as "${storedAs}" is encrypted. Pass the store to EncryptedCertCache, as on the other machines, and do not delete the key.`,
      )
    throw new StoreError(
      'ERR_STORE_FAILED',
      `the ACME account key stored as "${storedAs}" is not a private key in PEM. Restore it, or delete it to register a new account.`,
    )
  }
}
