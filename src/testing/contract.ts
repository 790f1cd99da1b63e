import { AssertionError } from 'node:assert'
import type { CertCache } from '../cache.js'
import type { Check } from './contract-help.js'
import { keyChecks } from './contract-keys.js'
import { listChecks } from './contract-list.js'
import { lockChecks, lostLockChecks } from './contract-locks.js'
import { cutOffChecks, valueChecks } from './contract-values.js'

/** What a store may lack: its cases are left out where the backend says so. */
export type ContractPart = 'locks' | 'list' | 'cutOff'

/** An empty place for values, such as a new container, folder or table. */
export interface ContractPlace {
  readonly store: CertCache
  /** Another handle on the same place, as another machine has one: nothing shared with `store` but the place. */
  peer(): Promise<CertCache>
  /**
   * From now on nothing that `store` asks reaches the place, and nothing that it wrote goes away by itself, as for a
   * machine whose cable was pulled or that was killed; what peers ask still does. Whether its requests fail or hang
   * is up to you. It stands for the death of the holder of a lock, too: to the place both are silence. For example:
   * a proxy in front of the service that stops passing anything on.
   */
  cutOff?(): void | Promise<void>
  /**
   * Ends `cutOff`: what `store` asks reaches the place again. Where it is left out, that a former holder who comes back
   * leaves the next holder's lock alone is not tried.
   */
  mend?(): void | Promise<void>
  /** Called once after each case. */
  close(): Promise<void>
}

/** What the contract is tried on. */
export interface ContractBackend {
  /** Called once for each case; cases may run at once. */
  open(): Promise<ContractPlace>
  /** What is left out: `locks` for a store without `tryLock`, `list` for one without it, `cutOff`. Default: nothing. */
  readonly without?: readonly ContractPart[]
}

/** One promise of {@link CertCache}. */
export interface ContractCase {
  readonly name: string
  /** What it may take at most, in ms: 60,000, or 180,000 where it waits for a lock to end. `run` ends by itself then. */
  readonly timeoutMs: number
  /** Rejects with an `AssertionError` of `node:assert` that says what is broken. */
  run(): Promise<void>
}

/**
 * All that a manager expects of a store, as cases for any test runner:
 *
 *     for (const { name, run } of certCacheContract(backend)) test(name, run)
 *
 * Two of the cases about locks take a minute; give them `timeoutMs` where your runner has a bound of its own.
 */
export function certCacheContract(backend: ContractBackend): readonly ContractCase[] {
  const has = (part: ContractPart) => !backend.without?.includes(part)
  const checks: Check[] = [...valueChecks, ...keyChecks(has('locks'))]
  if (has('list')) checks.push(...listChecks)
  if (has('locks')) checks.push(...lockChecks)
  if (has('cutOff')) checks.push(...cutOffChecks)
  if (has('locks') && has('cutOff')) checks.push(...lostLockChecks)
  return checks.map((check) => {
    const timeoutMs = check.slow ? 180_000 : 60_000
    return { name: check.name, timeoutMs, run: () => onFreshPlace(backend, check, timeoutMs) }
  })
}

async function onFreshPlace(backend: ContractBackend, check: Check, timeoutMs: number): Promise<void> {
  const place = await backend.open()
  let timer: NodeJS.Timeout | undefined
  const tooLong = new Promise<never>((_, reject) => {
    const error = new AssertionError({ message: `${check.name}: not within ${timeoutMs / 1_000} s` })
    timer = setTimeout(() => reject(error), timeoutMs)
  })
  try {
    await Promise.race([check.run(place), tooLong])
  } catch (error) {
    throw error instanceof AssertionError ? error : unexpected(check, error)
  } finally {
    clearTimeout(timer)
    await place.close()
  }
}

function unexpected(check: Check, cause: unknown): AssertionError {
  const told = cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause)
  return Object.assign(new AssertionError({ message: `${check.name}: the store failed with ${told}` }), {
    cause,
  })
}
