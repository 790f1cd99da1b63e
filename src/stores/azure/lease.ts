import { randomUUID } from 'node:crypto'
import type { CertCacheLock } from '../../cache/cert-cache.js'
import { holdLease, leaseMs } from '../../cache/lease.js'
import { StoreError } from '../../util/errors.js'
import type { LeasableBlob } from './container-client.js'

/** Runs one request under the store's time-out, its errors turned into ours; `undefined` for BlobNotFound. */
type Run = <T>(what: string, request: (abortSignal: AbortSignal) => Promise<T>) => Promise<T | undefined>

/** https://learn.microsoft.com/rest/api/storageservices/lease-blob: 15 to 60 s. */
const leaseSeconds = leaseMs / 1_000

/**
 * Takes a lease on a blob that is there for nothing else: on the certificate's own blob it would make a Go
 * peer's write fail. Resolves with `undefined` if somebody else has it.
 */
export function acquireLease(blob: LeasableBlob, name: string, run: Run): Promise<CertCacheLock | undefined> {
  // The id is proposed, so that asking again for a lease that was granted is granted again.
  const leaseId = randomUUID()
  const lease = blob.getBlobLeaseClient(leaseId)
  const attempt = (what: string, request: (abortSignal: AbortSignal) => Promise<unknown>) =>
    lostTheRace(run(what, request))
  return holdLease(name, {
    async acquire() {
      // The blob goes with each release: it is there while somebody holds the lock, or has died with it.
      for (let times = 0; times < 3; times++) {
        const outcome = await attempt(`lock ${name}`, (abortSignal) =>
          lease.acquireLease(leaseSeconds, { abortSignal }),
        )
        if (outcome !== undefined) return outcome !== 'lost the race'
        await attempt(`create the lock of ${name}`, (abortSignal) =>
          blob.upload(new Uint8Array(), 0, { abortSignal, conditions: { ifNoneMatch: '*' } }),
        )
      }
      return false
    },
    async renew() {
      const outcome = await attempt(`renew the lock of ${name}`, (abortSignal) =>
        lease.renewLease({ abortSignal }),
      )
      return outcome !== undefined && outcome !== 'lost the race'
    },
    // With the blob goes the lease. Only the holder of this id can do it.
    remove: () =>
      attempt(`unlock ${name}`, (abortSignal) => blob.delete({ abortSignal, conditions: { leaseId } })),
  })
}

/** Azure and Azurite say in different places that somebody else was first, with 409 or with 412. */
async function lostTheRace<T>(request: Promise<T>): Promise<T | 'lost the race'> {
  try {
    return await request
  } catch (error) {
    const status = error instanceof StoreError ? error.statusCode : undefined
    if (status === 409 || status === 412) return 'lost the race'
    throw error
  }
}
