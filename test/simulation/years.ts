import { test } from 'vitest'
import { promises } from './promises.js'
import { simulate } from './world.js'

/** Another one each time; `SEED` repeats a run. */
const seed = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 31))

export function years(lifetimeDays: number) {
  test(`1,000 days of ${lifetimeDays}-day certificates, 50 hosts, 5 machines, with outages and restarts (SEED=${seed})`, {
    timeout: 900_000,
  }, async () => {
    const options = { seed, days: 1_000, hosts: 50, machines: 5, lifetimeDays }
    promises(options, await simulate(options))
  })
}
