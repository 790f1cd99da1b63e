import { randomUUID } from 'node:crypto'
import type { CertCacheLock } from '../../cache/cert-cache.js'
import { holdLease, leaseMs } from '../../cache/leases/lease.js'
import { isLostRace } from '../../cache/service-errors.js'
import type { RunOperation } from '../../cache/store-operation.js'
import type { StoreError } from '../../util/errors.js'
import type { LeasableBlob } from './container-client.js'

/** Azure allows 15 to 60 s: https://learn.microsoft.com/rest/api/storageservices/lease-blob */
const leaseSeconds = leaseMs / 1_000

/**
 * Acquires a lease on `blob`, which exists only for this lock: a lease on the certificate's own blob would make writes
 * of a Go peer fail. Returns `undefined` if another holder has the lease.
 * @param run resolves with `undefined` for BlobNotFound
 */
export function acquireLease(
  blob: LeasableBlob,
  name: string,
  run: RunOperation<undefined>,
): Promise<CertCacheLock | undefined> {
  // Proposing the id makes a retried acquire idempotent.
  const leaseId = randomUUID()
  const lease = blob.getBlobLeaseClient(leaseId)
  const tryRun = async (description: string, request: (abortSignal: AbortSignal) => Promise<unknown>) => {
    try {
      return await run(description, undefined, request)
    } catch (error) {
      if (isLostRace(error) && !isForbidden(error)) return 'conflict'
      throw error
    }
  }
  return holdLease(name, {
    async acquire() {
      // A release deletes the blob. It exists only while the lock is held, or after its holder died.
      for (let attempt = 0; attempt < 3; attempt++) {
        const outcome = await tryRun(`lock "${name}"`, (abortSignal) =>
          lease.acquireLease(leaseSeconds, { abortSignal }),
        )
        if (outcome !== undefined) return outcome !== 'conflict'
        await tryRun(`create the lock "${name}"`, (abortSignal) =>
          blob.upload(new Uint8Array(), 0, { abortSignal, conditions: { ifNoneMatch: '*' } }),
        )
      }
      return false
    },
    async renew() {
      const outcome = await tryRun(`renew the lock "${name}"`, (abortSignal) =>
        lease.renewLease({ abortSignal }),
      )
      return outcome !== undefined && outcome !== 'conflict'
    },
    // Deleting the blob ends the lease. The service requires the lease id.
    remove: () =>
      tryRun(`release the lock "${name}"`, (abortSignal) =>
        blob.delete({ abortSignal, conditions: { leaseId } }),
      ),
  })
}

/** Whether a conflict is not about another holder: the container is immutable or disabled, and waiting does not help. */
const isForbidden = ({ cause }: StoreError) =>
  /^(BlobImmutable|Container|Account)/.test(String(Object(cause).code ?? ''))
