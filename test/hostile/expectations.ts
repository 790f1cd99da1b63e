import { expect } from 'vitest'
import type { Report, Target } from './target.js'

const megabyte = 2 ** 20

/** The outcomes and reports of equal rounds of an attack. */
export interface Rounds<T> {
  readonly outcomes: readonly T[]
  readonly reports: readonly Report[]
}

export async function attackInRounds<T>(
  target: Target,
  count: number,
  attack: () => Promise<T>,
): Promise<Rounds<T>> {
  const outcomes: T[] = []
  const reports: Report[] = []
  for (let round = 0; round < count; round++) {
    outcomes.push(await attack())
    reports.push(await target.report())
  }
  return { outcomes, reports }
}

/** Expects that the attack did not reach the store or the CA, and that the server still works. */
export async function expectUnharmed(target: Target, { reports }: Rounds<unknown>): Promise<void> {
  for (const { operations, warnings } of reports) {
    expect(operations).toEqual([])
    expect(warnings).toBe(0)
  }
  await expectOnDuty(target)
}

/**
 * Expects that an attack leaves nothing in memory. A leak shows in most rounds; an allocator or the compiler takes
 * memory in a few steps and does not return it. So the lower median of the growths decides. The first round warms up
 * the process.
 *
 * `heapUsed` and `external` are exact after a garbage collection. The resident set includes freed memory that the
 * allocator keeps, so it reveals only connections that are never freed.
 * @param handshakes the number of handshakes in one round
 */
export function expectFlat(reports: readonly Report[], handshakes: number): void {
  const medianGrowth = (size: (report: Report) => number) => {
    const growths = reports.slice(1).map((report, index) => size(report) - size(reports[index] as Report))
    return growths.sort((a, b) => a - b)[Math.floor((growths.length - 1) / 2)]
  }
  // 16 KiB is less than a TLS connection uses, and much less than a SecureContext.
  expect(medianGrowth(({ rss }) => rss)).toBeLessThan(megabyte + (handshakes * megabyte) / 64)
  expect(medianGrowth(({ heapUsed }) => heapUsed)).toBeLessThan(megabyte / 10)
  expect(medianGrowth(({ external }) => external)).toBeLessThan(megabyte / 10)
}

/** Expects that the process serves certificates from memory and from the store, and has placed no order. */
export async function expectOnDuty(target: Target): Promise<void> {
  expect(await target.serves('allowed.example')).toBe(true)
  expect(await target.serves('other.example')).toBe(true)
  expect(target.ca.counts).toMatchObject({ requests: 0, orders: 0 })
}

/** Returns one line of figures for a measured flood. */
export function describeRounds(what: string, { reports }: Rounds<unknown>): string {
  const list = (of: (report: Report) => number) => reports.map((report) => of(report).toFixed(1)).join(' / ')
  const operations = reports.map(({ operations }) => operations.length).join(' / ')
  return (
    `${what}: RSS ${list(({ rss }) => rss / megabyte)} MB, heap ${list(({ heapUsed }) => heapUsed / megabyte)} MB, ` +
    `event loop p99 ${list(({ delayP99 }) => delayP99)} ms, store operations ${operations}`
  )
}
