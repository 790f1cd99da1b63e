import { LockLostError, StoreError } from '../../util/errors.js'
import { ignoreFailure } from '../../util/safe-call.js'
import { assertCacheKey, type CertCacheLock } from '../cert-cache.js'
import { createRunner, type RunOperation } from '../store-operation.js'

/** How long the store keeps a lease after the request that acquired or renewed it: 30 s. */
export const leaseMs = 30_000
const renewEveryMs = 10_000
/** Delay after a failed renewal, when it is unknown whether the lease is lost. */
const retryRenewalMs = 2_000
/**
 * How long the holder relies on the lease after the last acquire or renewal. It gives up 5 s before the lease ends in
 * the store, because the requests that the lease protects take time to arrive.
 */
const holdMs = leaseMs - 5_000

/**
 * One holder's lease in a store. The store ends the lease {@link leaseMs} after it was acquired or last renewed. The
 * store bounds the duration of each method.
 */
export interface Lease {
  /** Returns false if another holder has the lease. Rejects if the store operation fails. */
  acquire(): Promise<boolean>
  /** Returns false if this holder has lost the lease. Rejects if the store operation fails. */
  renew(): Promise<boolean>
  /** Ends the lease if this holder has it; otherwise does nothing. */
  remove(): Promise<unknown>
}

/** Acquires the lease, and renews it every 10 s until it is released or lost. `undefined`: another holder has it. */
export async function holdLease(name: string, lease: Lease): Promise<CertCacheLock | undefined> {
  const elapsedMs = startStopwatch()
  try {
    if (!(await lease.acquire())) return undefined
    if (elapsedMs() >= holdMs) throw new StoreError('ERR_STORE_TIMEOUT', tooSlow(`lock "${name}"`))
  } catch (error) {
    // The store may have granted the lease after the time-out. It would then block every machine until it expires.
    void ignoreFailure(lease.remove(), 'the lease expires in the store')
    throw error
  }
  return createLock(name, lease, elapsedMs)
}

/**
 * Acquires a lock within the time-out of `run`, and releases a lock that is granted later. The caller's `signal` ends
 * the acquisition only: it must not end later renewals or the release.
 * @param run {@link runAcquisition} if `acquire` makes several requests that the store bounds one by one
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
    return await run(`lock "${name}"`, signal, () => acquisition)
  } catch (error) {
    void ignoreFailure(
      acquisition.then((lock) => lock?.release()),
      'the lock expires in the store',
    )
    throw error
  }
}

const tooSlow = (description: string) =>
  `cannot ${description} within ${holdMs / 1_000} s: it could expire before it is used. Check the network, and whether the store is overloaded.`

/** Bounds all requests of an acquisition together: a later lock would not be used. */
export const runAcquisition: RunOperation<undefined> = createRunner({
  timeoutMs: holdMs,
  timeoutMessage: tooSlow,
  toStoreError: (thrown) => {
    throw thrown
  },
})

/**
 * Measures milliseconds by the faster of two clocks. The monotonic clock stops while the machine is suspended; the system
 * clock can be set to any time. Overestimating is safe: the lease ends early.
 */
function startStopwatch(): () => number {
  const [monotonic, system] = [performance.now(), Date.now()]
  return () => Math.max(performance.now() - monotonic, Date.now() - system)
}

function createLock(name: string, lease: Lease, sinceAcquireMs: () => number): CertCacheLock {
  const lost = new AbortController()
  let hasEnded = false
  /** The time since the request that last acquired or renewed the lease. */
  let sinceProofMs = sinceAcquireMs
  let renewalTimer: NodeJS.Timeout | undefined
  let expiryTimer: NodeJS.Timeout | undefined

  function stop() {
    hasEnded = true
    clearTimeout(renewalTimer)
    clearTimeout(expiryTimer)
  }

  function lose(reason: string) {
    stop()
    lost.abort(new LockLostError(`lost the lock of "${name}": ${reason}`))
  }

  const expire = () => lose('it was not renewed in time')

  function renewIn(ms: number) {
    renewalTimer = setTimeout(() => void renew(), ms).unref()
  }

  async function renew() {
    const sinceRequestMs = startStopwatch()
    try {
      const isHeld = await lease.renew()
      if (hasEnded) return
      if (isHeld) extend(sinceRequestMs)
      else lose('another holder has acquired it')
    } catch {
      // The lease may still be held: retry until it expires.
      if (!hasEnded) renewIn(retryRenewalMs)
    }
  }

  function extend(sinceRequestMs: () => number) {
    sinceProofMs = sinceRequestMs
    clearTimeout(expiryTimer)
    expiryTimer = setTimeout(expire, holdMs - sinceProofMs()).unref()
    renewIn(Math.max(0, renewEveryMs - sinceProofMs()))
  }

  extend(sinceAcquireMs)
  return {
    get signal() {
      // After a suspension of the process or the machine, this runs before the expiry timer fires.
      if (sinceProofMs() >= holdMs) expire()
      return lost.signal
    },
    async release() {
      stop()
      await lease.remove()
    },
  }
}
