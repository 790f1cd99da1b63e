import { LockLostError, StoreError } from '../util/errors.js'
import type { CertCacheLock } from './cert-cache.js'

/** How long a lease lasts from the request that took or renewed it, for the store's part. */
export const leaseMs = 30_000
const renewEveryMs = 10_000
/** After a renewal that failed without saying that the lease is lost. */
const retryRenewalMs = 2_000
/** A lease counts as lost this long before its end: what it protects takes time to arrive, too. */
const marginMs = 5_000

/** Without being renewed. */
const provenMs = leaseMs - marginMs

/** The monotonic clock stands still while a machine is suspended; the other one can be set to anything. */
interface Moment {
  readonly monotonic: number
  readonly wall: number
}
const momentOfNow = (): Moment => ({ monotonic: performance.now(), wall: Date.now() })
/** What passed since then by either clock, in ms: too much ends a lease early, which harms nobody. */
const since = ({ monotonic, wall }: Moment): number =>
  Math.max(performance.now() - monotonic, Date.now() - wall)

/** One holder's lease in a store, where it ends by itself after {@link leaseMs}. Each step is bounded by the store. */
export interface Lease {
  /** Resolves with `false` if somebody else has it; rejects if that could not be told. */
  acquire(): Promise<boolean>
  /** Resolves with `false` if it is not this holder's any more; rejects if that could not be told. */
  renew(): Promise<boolean>
  /** Ends it if it is this holder's; otherwise does nothing. */
  remove(): Promise<unknown>
}

/** Takes the lease and renews it until it is released or lost. `undefined` if somebody else has it. */
export async function holdLease(name: string, lease: Lease): Promise<CertCacheLock | undefined> {
  const from = momentOfNow()
  try {
    if (!(await lease.acquire())) return undefined
    if (since(from) >= provenMs) {
      const seconds = provenMs / 1_000
      throw new StoreError(
        'ERR_STORE_TIMEOUT',
        `the lock of ${name} was given after more than ${seconds} s: too late to rely on it`,
      )
    }
  } catch (error) {
    // What timed out may have been granted all the same, and would keep everybody out until it ends.
    lease.remove().catch(() => 'it ends by itself')
    throw error
  }
  return new HeldLease(name, lease, from)
}

/** Settles as `bounded` lets it. A lock that is given when nobody waits for it any more is given back. */
export async function releaseIfLate(
  taking: Promise<CertCacheLock | undefined>,
  bounded: (taking: Promise<CertCacheLock | undefined>) => Promise<CertCacheLock | undefined>,
): Promise<CertCacheLock | undefined> {
  try {
    return await bounded(taking)
  } catch (error) {
    taking.then((lock) => lock?.release()).catch(() => 'it ends by itself')
    throw error
  }
}

class HeldLease implements CertCacheLock {
  readonly #lost = new AbortController()
  /** From before the request that proved it. */
  #proof: Moment
  #renewal: NodeJS.Timeout | undefined
  #expiry: NodeJS.Timeout | undefined
  #released = false
  // Not TypeScript's private fields: the store's client has the credentials, and shows them when it is inspected.
  readonly #name: string
  readonly #lease: Lease

  constructor(name: string, lease: Lease, from: Moment) {
    this.#name = name
    this.#lease = lease
    this.#proof = from
    this.#proved(from)
  }

  get signal(): AbortSignal {
    // Asked after a pause of the process or the machine, before the timer for it had its turn.
    if (since(this.#proof) >= provenMs) this.#lose('it could not be renewed in time')
    return this.#lost.signal
  }

  async release(): Promise<void> {
    this.#released = true
    clearTimeout(this.#renewal)
    clearTimeout(this.#expiry)
    await this.#lease.remove()
  }

  #proved(from: Moment): void {
    this.#proof = from
    clearTimeout(this.#expiry)
    const passed = since(from)
    this.#expiry = setTimeout(() => this.#lose('it could not be renewed in time'), provenMs - passed).unref()
    this.#renewIn(Math.max(0, renewEveryMs - passed))
  }

  #renewIn(ms: number): void {
    this.#renewal = setTimeout(() => void this.#renew(), ms).unref()
  }

  async #renew(): Promise<void> {
    const from = momentOfNow()
    try {
      const held = await this.#lease.renew()
      if (this.#released || this.#lost.signal.aborted) return
      if (!held) return this.#lose('somebody else has taken it')
      this.#proved(from)
    } catch {
      // The store did not say that it is lost; until it expires there is time to ask again.
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
