import { test } from 'vitest'
import { assertGuarantees } from './guarantees.js'
import { simulate, type WorldOptions } from './world.js'

/** Set SEED for another run, DAYS for a shorter one. */
const seed = Number(process.env.SEED ?? 1)

export function years(lifetimeDays: number, overrides: Partial<WorldOptions> = {}) {
  const options = {
    seed,
    days: Number(process.env.DAYS ?? 1_000),
    hosts: 50,
    machines: 5,
    lifetimeDays,
    ...overrides,
  }
  const { days, hosts, machines, memoryMax = hosts } = options
  test(`${days.toLocaleString('en')} days of ${lifetimeDays}-day certificates, ${hosts} hosts, memory for ${memoryMax}, ${machines} machines, with outages, restarts and crashes (SEED=${seed})`, {
    timeout: 900_000,
  }, async () => {
    assertGuarantees(options, await simulate(options))
  })
}
