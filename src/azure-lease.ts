import { randomUUID } from 'node:crypto'
import type { CertCacheLock } from './cache.js'
import { LockLostError, StoreError } from './errors.js'

/** What is used of the SDK's `BlockBlobClient` for a lock. */
export interface LeasableBlob {
  upload(
    body: Uint8Array,
    length: number,
    options?: { abortSignal?: AbortSignal; conditions?: { ifNoneMatch?: string } },
  ): Promise<unknown>
  delete(options?: { abortSignal?: AbortSignal; conditions?: { leaseId?: string } }): Promise<unknown>
  getBlobLeaseClient(proposedLeaseId?: string): {
    acquireLease(duration: number, options?: { abortSignal?: AbortSignal }): Promise<unknown>
    renewLease(options?: { abortSignal?: AbortSignal }): Promise<unknown>
  }
}

/** Runs one request under the store's time-out, its errors turned into ours; `undefined` for BlobNotFound. */
type Run = <T>(what: string, request: (abortSignal: AbortSignal) => Promise<T>) => Promise<T | undefined>

/** https://learn.microsoft.com/rest/api/storageservices/lease-blob: 15 to 60 s. */
const leaseSeconds = 30
const renewEveryMs = 10_000
/** After a renewal that failed without saying that the lease is lost. */
const retryRenewalMs = 2_000
/** A lease counts as lost this long before its end: what it protects takes time to arrive, too. */
const marginMs = 5_000

/**
 * Takes a lease on a blob that is there for nothing else: on the certificate's own blob it would make a Go
 * peer's write fail. Resolves with `undefined` if somebody else has it.
 */
export async function acquireLease(
  blob: LeasableBlob,
  name: string,
  run: Run,
): Promise<CertCacheLock | undefined> {
  const lease = new BlobLease(blob, name, run)
  // The blob goes with each release: it is there while somebody holds the lock, or has died with it.
  for (let attempt = 0; attempt < 3; attempt++) {
    const outcome = await lease.acquire()
    if (outcome !== 'no blob') return outcome === 'granted' ? lease : undefined
    await lostTheRace(
      run(`create the lock of ${name}`, (abortSignal) =>
        blob.upload(new Uint8Array(), 0, { abortSignal, conditions: { ifNoneMatch: '*' } }),
      ),
    )
  }
  return undefined
}

class BlobLease implements CertCacheLock {
  readonly #lost = new AbortController()
  readonly #lease: ReturnType<LeasableBlob['getBlobLeaseClient']>
  /** By the monotonic clock, from before the request that proved it. */
  #provenUntil = 0
  #renewal: NodeJS.Timeout | undefined
  #expiry: NodeJS.Timeout | undefined

  #released = false
  // Not TypeScript's private fields: the client has the credentials, and shows them when it is inspected.
  readonly #blob: LeasableBlob
  readonly #name: string
  readonly #id = randomUUID()
  readonly #run: Run

  constructor(blob: LeasableBlob, name: string, run: Run) {
    this.#blob = blob
    this.#name = name
    this.#run = run
    // The id is proposed, so that asking again for a lease that was granted is granted again.
    this.#lease = blob.getBlobLeaseClient(this.#id)
  }

  get signal(): AbortSignal {
    // Asked after a pause of the whole process, before the timer for it had its turn.
    if (performance.now() >= this.#provenUntil) this.#lose('it could not be renewed in time')
    return this.#lost.signal
  }

  async acquire(): Promise<'granted' | 'taken' | 'no blob'> {
    const from = performance.now()
    try {
      const outcome = await lostTheRace(
        this.#run(`lock ${this.#name}`, (abortSignal) =>
          this.#lease.acquireLease(leaseSeconds, { abortSignal }),
        ),
      )
      if (outcome === undefined) return 'no blob'
      if (outcome === 'lost the race') return 'taken'
    } catch (error) {
      // What timed out may have been granted all the same, and would keep everybody out for 30 s.
      this.#remove().catch(() => 'it ends by itself')
      throw error
    }
    this.#proved(from)
    return 'granted'
  }

  async release(): Promise<void> {
    this.#released = true
    clearTimeout(this.#renewal)
    clearTimeout(this.#expiry)
    await this.#remove()
  }

  /** With the blob goes the lease. Only the holder of this id can do it. */
  async #remove(): Promise<void> {
    await lostTheRace(
      this.#run(`unlock ${this.#name}`, (abortSignal) =>
        this.#blob.delete({ abortSignal, conditions: { leaseId: this.#id } }),
      ),
    )
  }

  #proved(from: number): void {
    this.#provenUntil = from + leaseSeconds * 1_000 - marginMs
    clearTimeout(this.#expiry)
    const left = this.#provenUntil - performance.now()
    this.#expiry = setTimeout(() => this.#lose('it could not be renewed in time'), left).unref()
    this.#renewIn(renewEveryMs)
  }

  #renewIn(ms: number): void {
    this.#renewal = setTimeout(() => void this.#renew(), ms).unref()
  }

  async #renew(): Promise<void> {
    const from = performance.now()
    try {
      const outcome = await lostTheRace(
        this.#run(`renew the lock of ${this.#name}`, (abortSignal) =>
          this.#lease.renewLease({ abortSignal }),
        ),
      )
      if (this.#released || this.#lost.signal.aborted) return
      if (outcome === undefined || outcome === 'lost the race')
        return this.#lose('somebody else has taken it')
      this.#proved(from)
    } catch {
      // The service did not say that it is lost; until it expires there is time to ask again.
      if (!this.#released && !this.#lost.signal.aborted) this.#renewIn(retryRenewalMs)
    }
  }

  #lose(why: string): void {
    clearTimeout(this.#renewal)
    clearTimeout(this.#expiry)
    if (this.#lost.signal.aborted) return
    this.#lost.abort(new LockLostError(`the lock of ${this.#name} is lost: ${why}`))
  }
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
