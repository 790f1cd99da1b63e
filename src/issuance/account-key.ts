import { createPrivateKey } from 'node:crypto'
import { exportKey, generateKey } from '../certificates/private-key.js'
import { StoreError } from '../util/errors.js'
import type { CaStore } from './ca-store.js'

/** Resolves with the private key of the fleet's ACME account, in PEM. If the store has none, creates and stores one. */
export async function readOrCreateAccountKey(store: CaStore, signal: AbortSignal): Promise<string> {
  const read = async (kind: 'account key' | 'legacy account key') => {
    const stored = await store.readAccountKey(kind, { signal })
    return stored && parseAccountKey(stored)
  }
  return (
    (await read('account key')) ??
    (await read('legacy account key')) ??
    store.runOnce(
      { kind: 'account key', ca: store.ca },
      {
        signal,
        find: () => read('account key'),
        async work(lock) {
          const accountKey = exportKey(await generateKey('ecdsa-p256'))
          lock?.signal.throwIfAborted()
          await store.writeAccountKey(accountKey, { signal: lock?.signal ?? signal })
          return { value: accountKey }
        },
      },
    )
  )
}

/** Throws on invalid data: a new key in its place would abandon the account and what the CA has granted it. */
function parseAccountKey({ data, storedAs }: { data: Uint8Array; storedAs: string }): string {
  try {
    return exportKey(createPrivateKey(Buffer.from(data)))
  } catch {
    throw new StoreError(
      'ERR_STORE_FAILED',
      `the ACME account key stored as ${storedAs} is not a private key in PEM: restore it, or delete it to register a new account`,
    )
  }
}
