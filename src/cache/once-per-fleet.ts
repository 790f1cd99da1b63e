import { type Clock, monotonic } from '../util/clock.js'
import { sleep } from '../util/deadline.js'
import { DeadlineError } from '../util/errors.js'
import { type CertCache, type CertCacheLock, isLocking } from './cert-cache.js'
import { isPermissionError } from './service-errors.js'

/** The delay between two store requests while another machine holds the lock. Up to a third is added at random. */
const pollMs = 1_000
/** Number of lost locks after which the work is abandoned: each attempt may have repeated a costly step. */
const maxLostLocks = 3
/** Longer than any holder needs: it works for at most 15 minutes, and its lock expires within 1 minute after that. */
const maxWaitMs = 17 * 60_000

/** Work that one machine does for the whole fleet. */
export interface FleetWork<T> {
  readonly store: CertCache
  /** The key that the work concerns, and the name of its lock. */
  readonly name: string
  readonly clock: Clock
  /** Aborts the wait for other machines. */
  readonly signal: AbortSignal
  /** Returns the result if it is already in the store, or `undefined`. Bypasses any memory tier. */
  find(): Promise<T | undefined>
  /** Rejects if the work has failed on another machine, which ends the wait. Default: waits for the full time. */
  check?(): Promise<unknown>
  /**
   * Does the work. The lock is released afterwards, unless `keepsLock` is true: then the caller releases it later. If
   * the work rejects and the lock is lost, starts over. The lock is `undefined` if the store has no locks or does not
   * permit them; the work is then done once per process.
   */
  work(lock: CertCacheLock | undefined): Promise<{ value: T; keepsLock?: boolean }>
}

/**
 * Does the work under the fleet's lock, unless the result is in the store after the lock was acquired. A machine that
 * does not get the lock polls until the result is in the store or the lock is free.
 * @throws {DeadlineError} after 17 minutes
 */
export async function runOncePerFleet<T>(fleetWork: FleetWork<T>): Promise<T> {
  const { store, name, clock, signal, find, work, check } = fleetWork
  if (!isLocking(store)) return (await work(undefined)).value
  const now = monotonic(clock)
  const giveUpAt = now() + maxWaitMs
  let lostLocks = 0
  for (let turn = 0; now() < giveUpAt; turn++) {
    if (turn > 0) await sleep(pollMs * (1 + Math.random() / 3), clock, signal)
    // One request per turn, in rotation: is the lock free, has the work failed, is the result there?
    if (turn % 3 === 0) {
      const lock = await store.tryLock(name, { signal }).catch(toLockDenied)
      if (lock === 'not permitted') return (await find()) ?? (await work(undefined)).value
      const result = lock && (await runUnderLock(lock, fleetWork))
      if (result !== undefined) return result
      if (lock && ++lostLocks === maxLostLocks) throw lock.signal.reason
    } else if (turn % 3 === 1 && check) {
      await check()
    } else {
      const found = await find()
      if (found !== undefined) return found
    }
  }
  throw new DeadlineError(`no result for "${name}" from another machine within ${maxWaitMs / 60_000} minutes`)
}

/**
 * Acquires a lock, and waits while another machine holds it. Resolves with `undefined` if the store has no locks or does
 * not permit them.
 * @param signal ends the wait
 */
export async function waitForLock({
  store,
  name,
  clock,
  signal,
}: Pick<FleetWork<unknown>, 'store' | 'name' | 'clock' | 'signal'>): Promise<CertCacheLock | undefined> {
  if (!isLocking(store)) return undefined
  for (;;) {
    const lock = await store.tryLock(name, { signal }).catch(toLockDenied)
    if (lock) return lock === 'not permitted' ? undefined : lock
    await sleep(pollMs, clock, signal)
  }
}

/** Continues without a lock: a duplicate certificate is better than none. The monitored store warns once. */
function toLockDenied(thrown: unknown): 'not permitted' {
  if (isPermissionError(thrown)) return 'not permitted'
  throw thrown
}

/** Returns `undefined` if the work failed because the lock was lost. */
async function runUnderLock<T>(lock: CertCacheLock, { find, work }: FleetWork<T>): Promise<T | undefined> {
  let keepsLock: boolean | undefined
  try {
    const found = await find()
    if (found !== undefined) return found
    const result = await work(lock)
    keepsLock = result.keepsLock
    return result.value
  } catch (error) {
    if (lock.signal.aborted) return undefined
    throw error
  } finally {
    if (!keepsLock) await releaseQuietly(lock)
  }
}

/** Releases a lock and ignores failures: the work is complete, and the lock expires anyway. */
export async function releaseQuietly(lock: CertCacheLock): Promise<void> {
  try {
    if (!lock.signal.aborted) await lock.release()
  } catch {} // the monitored store has reported it
}
