import { LockLostError, StoreError } from '../../util/errors.js'
import { ignoreFailure } from '../../util/ignore-failure.js'
import type { CertCacheLock } from '../cert-cache.js'
import type { RunOperation } from '../store-operation.js'

/** How long the store keeps a lease after the request that acquired or renewed it: 30 s. */
export const leaseMs = 30_000
const renewEveryMs = 10_000
/** The delay after a failed renewal that did not tell whether the lease is lost. */
const retryRenewalMs = 2_000
/**
 * The holder gives up this long before the lease ends in the store, because the requests it protects take time to
 * arrive.
 */
const safetyMarginMs = 5_000

/** How long the holder relies on the lease after the last acquire or renewal. */
const holdMs = leaseMs - safetyMarginMs

/**
 * A point in time on both clocks. The monotonic clock stops while the machine is suspended; the system clock can be set
 * to any time.
 */
interface Instant {
  readonly monotonic: number
  readonly system: number
}
const currentInstant = (): Instant => ({ monotonic: performance.now(), system: Date.now() })
/** Returns the milliseconds since `instant` by the faster clock. Overestimating is safe: the lease ends early. */
const elapsedSince = ({ monotonic, system }: Instant): number =>
  Math.max(performance.now() - monotonic, Date.now() - system)

/**
 * One holder's lease in a store. The store ends the lease {@link leaseMs} after it was acquired or last renewed. The
 * store bounds the duration of each method.
 */
export interface Lease {
  /** Returns false if another holder has the lease. Rejects if the store cannot tell. */
  acquire(): Promise<boolean>
  /** Returns false if this holder has lost the lease. Rejects if the store cannot tell. */
  renew(): Promise<boolean>
  /** Ends the lease if this holder has it; otherwise does nothing. */
  remove(): Promise<unknown>
}

/**
 * Acquires the lease and renews it every 10 s until it is released or lost. Returns `undefined` if another holder has
 * the lease.
 */
export async function holdLease(name: string, lease: Lease): Promise<CertCacheLock | undefined> {
  const requestedAt = currentInstant()
  try {
    if (!(await lease.acquire())) return undefined
    if (elapsedSince(requestedAt) >= holdMs) {
      const seconds = holdMs / 1_000
      throw new StoreError(
        'ERR_STORE_TIMEOUT',
        `the lock of ${name} was given after more than ${seconds} s: too late to rely on it`,
      )
    }
  } catch (error) {
    // The store may have granted the lease after the time-out. It would then block every machine until it expires.
    void ignoreFailure(lease.remove(), 'the lease expires in the store')
    throw error
  }
  return new HeldLease(name, lease, requestedAt)
}

/**
 * Acquires a lock within the store's time-out, and releases a lock that is granted after the wait has ended. `signal`
 * ends the acquisition only: it does not end later renewals or the release.
 */
export async function acquireInTime(
  name: string,
  signal: AbortSignal | undefined,
  run: RunOperation<undefined>,
  acquire: () => Promise<CertCacheLock | undefined>,
): Promise<CertCacheLock | undefined> {
  signal?.throwIfAborted()
  const acquisition = acquire()
  try {
    return await run(`lock ${name}`, signal, () => acquisition)
  } catch (error) {
    const lateRelease = acquisition.then((lock) => lock?.release())
    void ignoreFailure(lateRelease, 'the lock expires in the store')
    throw error
  }
}

class HeldLease implements CertCacheLock {
  readonly #lost = new AbortController()
  /** Taken before the request that last acquired or renewed the lease. */
  #provenAt: Instant
  #renewalTimer: NodeJS.Timeout | undefined
  #expiryTimer: NodeJS.Timeout | undefined
  #isReleased = false
  readonly #name: string
  readonly #lease: Lease

  constructor(name: string, lease: Lease, requestedAt: Instant) {
    this.#name = name
    this.#lease = lease
    this.#provenAt = requestedAt
    this.#extend(requestedAt)
  }

  get signal(): AbortSignal {
    // After a suspension of the process or the machine, this runs before the expiry timer fires.
    if (elapsedSince(this.#provenAt) >= holdMs) this.#lose('it could not be renewed in time')
    return this.#lost.signal
  }

  async release(): Promise<void> {
    this.#isReleased = true
    clearTimeout(this.#renewalTimer)
    clearTimeout(this.#expiryTimer)
    await this.#lease.remove()
  }

  #extend(requestedAt: Instant): void {
    this.#provenAt = requestedAt
    clearTimeout(this.#expiryTimer)
    const elapsedMs = elapsedSince(requestedAt)
    const expire = () => this.#lose('it could not be renewed in time')
    this.#expiryTimer = setTimeout(expire, holdMs - elapsedMs).unref()
    this.#renewIn(Math.max(0, renewEveryMs - elapsedMs))
  }

  #renewIn(ms: number): void {
    this.#renewalTimer = setTimeout(() => void this.#renew(), ms).unref()
  }

  async #renew(): Promise<void> {
    const requestedAt = currentInstant()
    try {
      const isHeld = await this.#lease.renew()
      if (this.#isReleased || this.#lost.signal.aborted) return
      if (!isHeld) return this.#lose('somebody else has taken it')
      this.#extend(requestedAt)
    } catch {
      // The lease may still be held: retry until it expires.
      if (!this.#isReleased && !this.#lost.signal.aborted) this.#renewIn(retryRenewalMs)
    }
  }

  #lose(reason: string): void {
    clearTimeout(this.#renewalTimer)
    clearTimeout(this.#expiryTimer)
    if (this.#lost.signal.aborted) return
    this.#lost.abort(new LockLostError(`the lock of ${this.#name} is lost: ${reason}`))
  }
}
