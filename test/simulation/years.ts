import { test } from 'vitest'
import { promises } from './promises.js'
import { simulate, type WorldOptions } from './world.js'

/** `SEED` makes another run, `DAYS` a shorter one. */
const seed = Number(process.env.SEED ?? 1)

export function years(lifetimeDays: number, other: Partial<WorldOptions> = {}) {
  const options = {
    seed,
    days: Number(process.env.DAYS ?? 1_000),
    hosts: 50,
    machines: 5,
    lifetimeDays,
    ...other,
  }
  const { days, hosts, machines, memoryMax = hosts } = options
  test(`${days.toLocaleString('en')} days of ${lifetimeDays}-day certificates, ${hosts} hosts, room for ${memoryMax}, ${machines} machines, with outages, restarts and crashes (SEED=${seed})`, {
    timeout: 900_000,
  }, async () => {
    promises(options, await simulate(options))
  })
}
