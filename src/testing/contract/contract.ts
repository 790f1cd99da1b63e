import { AssertionError } from 'node:assert'
import { keyChecks } from './keys.js'
import { listChecks } from './list.js'
import { lockChecks, lostLockChecks } from './locks.js'
import type { Check, ContractBackend, ContractPart } from './types.js'
import { cutOffChecks, valueChecks } from './values.js'

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
