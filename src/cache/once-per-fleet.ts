import type { Clock } from '../util/clock.js'
import { sleep } from '../util/deadline.js'
import { DeadlineError, StoreError } from '../util/errors.js'
import { type CertCache, type CertCacheLock, isLocking } from './cert-cache.js'

/** What a loser of the race for a lock waits between two requests to the store; up to a third more. */
const pollMs = 1_000
/** A lock that is lost again and again: something takes it away, and each time something was done for nothing. */
const mostLost = 3
/** A holder works for 5 minutes at most, and its lock outlives it by less than one. */
const waitMs = 7 * 60_000

/** Work that is to be done once for all machines. */
export interface FleetWork<T> {
  readonly store: CertCache
  /** The key that the work is for; its lock has the same name. */
  readonly name: string
  readonly clock: Clock
  readonly signal: AbortSignal
  /** What the work leads to, if it is done by now; past any memory. */
  find(): Promise<T | undefined>
  /** Rejects if there is no use in waiting, as the work has failed for somebody else. Default: that can't be known. */
  check?(): Promise<unknown>
  /**
   * Does the work; afterwards the lock is given back, unless `keepsLock` says that this will be done later. If it
   * rejects and the lock is lost, everything begins again. The lock is `undefined` where the store has none: once
   * per process, then.
   */
  work(lock: CertCacheLock | undefined): Promise<{ value: T; keepsLock?: boolean }>
}

/**
 * Does a piece of work under the fleet's lock, after another look whether it was done meanwhile. Those who don't
 * get the lock poll the store, until the result is there or the lock is free.
 */
export async function runOncePerFleet<T>(fleetWork: FleetWork<T>): Promise<T> {
  const { store, name, clock, signal, find, work, check } = fleetWork
  if (!isLocking(store)) return (await work(undefined)).value
  const end = clock.now() + waitMs
  const tryLock = () =>
    store.tryLock(name, { signal }).catch((thrown: unknown) => {
      // To be reported, and mended; until then a certificate ordered twice is better than none.
      if (thrown instanceof StoreError && thrown.code === 'ERR_STORE_PERMISSION')
        return 'not allowed' as const
      throw thrown
    })
  let lost = 0
  for (let turn = 0; clock.now() < end; turn++) {
    if (turn > 0) await sleep(pollMs * (1 + Math.random() / 3), clock, signal)
    // One request a turn: whether the lock is free, whether the work has failed, whether it is done.
    if (turn % 3 === 0) {
      const lock = await tryLock()
      if (lock === 'not allowed') return (await find()) ?? (await work(undefined)).value
      const result = lock && (await underLock(lock, fleetWork))
      if (result !== undefined) return result
      if (lock && ++lost === mostLost) throw lock.signal.reason
    } else if (turn % 3 === 1 && check) {
      await check()
    } else {
      const found = await find()
      if (found !== undefined) return found
    }
  }
  throw new DeadlineError(`other machines have been at work on ${name} for ${waitMs / 60_000} minutes`)
}

/** `undefined` if the lock was lost on the way. */
async function underLock<T>(lock: CertCacheLock, { find, work }: FleetWork<T>): Promise<T | undefined> {
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
    if (!keepsLock) await release(lock)
  }
}

/** Never rejects: should it fail, the lock ends by itself, and the work is done all the same. */
export async function release(lock: CertCacheLock): Promise<void> {
  try {
    if (!lock.signal.aborted) await lock.release()
  } catch {
    // A guarded store has reported it.
  }
}
