import { expect } from 'vitest'
import type { Report, Target } from './target.js'

const megabyte = 2 ** 20

/** What equal rounds of an attack showed: before and after the last but one, and after the last. */
export interface Rounds<T> {
  readonly outcomes: readonly T[]
  readonly reports: readonly Report[]
}

/** The first two warm the process up: until then its memory grows whatever is asked of it. */
export async function fourRounds<T>(target: Target, attack: () => Promise<T>): Promise<Rounds<T>> {
  const outcomes: T[] = []
  const reports: Report[] = []
  for (let round = 0; round < 4; round++) {
    outcomes.push(await attack())
    reports.push(await target.report())
  }
  return { outcomes, reports }
}

/** Nothing of the attack reached the store or the CA, nothing of it stayed in memory, and the server goes on. */
export async function expectUnharmed(target: Target, { reports }: Rounds<unknown>): Promise<void> {
  for (const { operations, warnings } of reports) {
    expect(operations).toEqual([])
    expect(warnings).toBe(0)
  }
  expectFlat(reports)
  await expectOnDuty(target)
}

/** After the rounds that warmed up: the process by no more than what an allocator does, the heap by next to nothing. */
export function expectFlat(reports: readonly Report[]): void {
  const [, warm, attacked, again] = reports as [Report, Report, Report, Report]
  expect(attacked.rss - warm.rss).toBeLessThan(20 * megabyte)
  expect(again.rss - attacked.rss).toBeLessThan(20 * megabyte)
  expect(again.rss - warm.rss).toBeLessThan(20 * megabyte)
  expect(again.heapUsed - attacked.heapUsed).toBeLessThan(megabyte / 2)
  expect(again.external - attacked.external).toBeLessThan(megabyte / 2)
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
