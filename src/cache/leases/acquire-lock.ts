import { ignoreFailure } from '../../util/safe-call.js'
import { assertCacheKey, type CertCacheLock } from '../cert-cache.js'
import type { RunOperation } from '../store-operation.js'

/**
 * Acquires a lock within the time-out of `run`, and releases a lock that is granted later. The caller's `signal` ends
 * the acquisition only: it must not end later renewals or the release.
 */
export async function acquireLock(
  name: string,
  signal: AbortSignal | undefined,
  run: RunOperation<undefined>,
  acquire: () => Promise<CertCacheLock | undefined>,
): Promise<CertCacheLock | undefined> {
  assertCacheKey(name)
  signal?.throwIfAborted()
  const acquisition = acquire()
  try {
    return await run(`lock ${name}`, signal, () => acquisition)
  } catch (error) {
    void ignoreFailure(
      acquisition.then((lock) => lock?.release()),
      'the lock expires in the store',
    )
    throw error
  }
}
