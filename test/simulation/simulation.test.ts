import { expect, test } from 'vitest'
import { promises } from './promises.js'
import { simulate } from './world.js'

/** Another one each time; `SEED` repeats a run. */
const seed = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 31))

test(`60 days of 6-day certificates, 10 hosts, 3 machines, with outages and restarts (SEED=${seed})`, async () => {
  const options = { seed, days: 60, hosts: 10, machines: 3, lifetimeDays: 6 }
  promises(options, await simulate(options))
})

test('the same seed makes the same run', async () => {
  const options = { seed, days: 20, hosts: 5, machines: 2, lifetimeDays: 6 }
  const first = await simulate(options)
  expect(await simulate(options)).toEqual(first)
  expect(await simulate({ ...options, seed: seed + 1 })).not.toEqual(first)
})
