import { AssertionError } from 'node:assert'
import { checkBackend, checkPlace } from './check-backend.js'
import { keyChecks } from './keys.js'
import { listChecks } from './list.js'
import { lockChecks, lostLockChecks } from './locks.js'
import type { Check, ContractBackend, ContractPart, ContractPlace } from './types.js'
import { cutOffChecks, valueChecks } from './values.js'

/** A case of the contract: one promise of {@link CertCache}. */
export interface ContractCase {
  readonly name: string
  /** Milliseconds after which `run` rejects: 60,000, or 180,000 for a case that waits for a lock to expire. */
  readonly timeoutMs: number
  /**
   * Runs the case on a new place. Rejects with an `AssertionError` of `node:assert` if the store breaks the contract,
   * and with a `TypeError` if the place has no `store`, `peer` or `close`.
   */
  run(): Promise<void>
}

/**
 * Returns everything that a manager expects of a store, as cases for any test runner:
 *
 *     const backend = { open, without: ['list'] }
 *     for (const { name, run, timeoutMs } of certCacheContract(backend)) test(name, { timeout: timeoutMs + 10_000 }, run)
 *
 * Some of the cases about locks take about a minute. If your test runner has a time limit, set it to `timeoutMs`.
 * @throws {TypeError} if the backend has an unknown or invalid option, or if a second object is passed: `without` is an
 *   option of the backend
 */
export function certCacheContract(backend: ContractBackend): readonly ContractCase[]
export function certCacheContract(backend: ContractBackend, second?: unknown): readonly ContractCase[] {
  checkBackend(backend, second)
  const includes = (part: ContractPart) => !backend.without?.includes(part)
  const checks: Check[] = [...valueChecks, ...keyChecks(includes('locks'))]
  if (includes('list')) checks.push(...listChecks)
  if (includes('locks')) checks.push(...lockChecks)
  if (includes('cutOff')) checks.push(...cutOffChecks)
  if (includes('locks') && includes('cutOff')) checks.push(...lostLockChecks)
  return checks.map((check) => {
    const timeoutMs = check.slow ? 180_000 : 60_000
    return { name: check.name, timeoutMs, run: () => runOnNewPlace(backend, check, timeoutMs) }
  })
}

async function runOnNewPlace(backend: ContractBackend, check: Check, timeoutMs: number): Promise<void> {
  const place = await openPlace(backend)
  let timer: NodeJS.Timeout | undefined
  const timeout = new Promise<never>((_, reject) => {
    const error = new AssertionError({ message: `${check.name}: timed out after ${timeoutMs / 1_000} s` })
    timer = setTimeout(() => reject(error), timeoutMs)
  })
  try {
    await Promise.race([check.run(place), timeout])
  } catch (error) {
    throw error instanceof AssertionError ? error : toAssertionError(check, error)
  } finally {
    clearTimeout(timer)
    await place.close()
  }
}

async function openPlace(backend: ContractBackend): Promise<ContractPlace> {
  const place = await backend.open()
  try {
    checkPlace(place)
  } catch (error) {
    await (Object(place) as Partial<ContractPlace>).close?.()
    throw error
  }
  return place
}

function toAssertionError(check: Check, cause: unknown): AssertionError {
  const description = cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause)
  return Object.assign(
    new AssertionError({ message: `${check.name}: the store failed with ${description}` }),
    {
      cause,
    },
  )
}
