import { expect } from 'vitest'
import type { Report, Target } from './target.js'

const megabyte = 2 ** 20

/** What equal rounds of an attack showed; the first of them warmed the process up. */
export interface Rounds<T> {
  readonly outcomes: readonly T[]
  readonly reports: readonly Report[]
}

export async function sevenRounds<T>(target: Target, attack: () => Promise<T>): Promise<Rounds<T>> {
  const outcomes: T[] = []
  const reports: Report[] = []
  for (let round = 0; round < 7; round++) {
    outcomes.push(await attack())
    reports.push(await target.report())
  }
  return { outcomes, reports }
}

/** Nothing of the attack reached the store or the CA, nothing of it stayed in memory, and the server goes on. */
export async function expectUnharmed(
  target: Target,
  { reports }: Rounds<unknown>,
  openAtOnce?: number,
): Promise<void> {
  for (const { operations, warnings } of reports) {
    expect(operations).toEqual([])
    expect(warnings).toBe(0)
  }
  expectFlat(reports, openAtOnce)
  await expectOnDuty(target)
}

/**
 * What an attack leaves in memory it leaves in each round, and so in the round that left least. What an allocator or
 * the compiler takes for itself, in steps and for good, it does not take each time.
 * @param openAtOnce connections of a round: of their memory the allocator keeps less with each round, and nothing
 *   more after ten
 */
export function expectFlat(reports: readonly Report[], openAtOnce = 0): void {
  const growth = (of: (report: Report) => number) =>
    reports.slice(1).map((report, index) => of(report) - of(reports[index] as Report))
  // Less than a TLS connection has, let alone a SecureContext.
  const forConnections = (openAtOnce * megabyte) / 64
  expect(Math.min(...growth(({ rss }) => rss))).toBeLessThan(megabyte + forConnections)
  expect(Math.min(...growth(({ heapUsed }) => heapUsed))).toBeLessThan(megabyte / 10)
  expect(Math.min(...growth(({ external }) => external))).toBeLessThan(megabyte / 10)
}

/** The process lives; it serves what it has in memory, and what it finds in the store; and nobody has ordered anything. */
export async function expectOnDuty(target: Target): Promise<void> {
  expect(await target.serves('allowed.example')).toBe(true)
  expect(await target.serves('other.example')).toBe(true)
  expect(target.ca.counts).toMatchObject({ requests: 0, orders: 0 })
}

/** One line of figures, for the floods that are measured. */
export function describeRounds(what: string, { reports }: Rounds<unknown>): string {
  const list = (of: (report: Report) => number) => reports.map((report) => of(report).toFixed(1)).join(' / ')
  const operations = reports.map(({ operations }) => operations.length).join(' / ')
  return (
    `${what}: RSS ${list(({ rss }) => rss / megabyte)} MB, heap ${list(({ heapUsed }) => heapUsed / megabyte)} MB, ` +
    `event loop p99 ${list(({ delayP99 }) => delayP99)} ms, store operations ${operations}`
  )
}
