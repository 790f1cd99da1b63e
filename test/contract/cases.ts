import { test } from 'vitest'
import type { ContractCase } from '../../src/testing/index.js'

/** Whether a case waits for a minute, or for a lock to expire. Such cases run in the project `long`. */
export const isSlow = ({ timeoutMs }: ContractCase): boolean => timeoutMs > 60_000

/** Whether a case waits for the time-out of a store whose requests hang. */
export const waitsForTimeout = ({ name }: ContractCase): boolean => name.endsWith('a failure is never a miss')

/**
 * Whether a case makes hundreds of requests. On a store that answers over HTTP such cases take many seconds; they run
 * in the project `long` there, and in `quick` on a store in memory and on a folder.
 */
export const hasManyRequests = ({ name }: ContractCase): boolean =>
  name.startsWith('every allowed character') || name.startsWith('list yields all of')

/** Defines one test for each case. */
export function testCases(cases: readonly ContractCase[]): void {
  if (cases.length === 0) throw new Error('no case of the contract matches')
  for (const { name, run, timeoutMs } of cases) test(name, { timeout: timeoutMs }, run)
}
