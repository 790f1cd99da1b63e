import { expect, test } from 'vitest'
import { promises } from './promises.js'
import { simulate } from './world.js'

/** `SEED` makes another run. */
const seed = Number(process.env.SEED ?? 1)
const short = { seed, hosts: 10, machines: 3, lifetimeDays: 6 }

test(`150 days of 6-day certificates, 10 hosts, 3 machines, with outages, restarts and crashes (SEED=${seed})`, async () => {
  const options = { ...short, days: 150 }
  promises(options, await simulate(options))
})

test(`30 days of them with room for a third of the hosts (SEED=${seed})`, async () => {
  const options = { ...short, days: 30, memoryMax: 3 }
  promises(options, await simulate(options))
})

test('the same seed makes the same run', async () => {
  const options = { ...short, days: 20 }
  const first = await simulate(options)
  expect(await simulate(options)).toEqual(first)
  expect(await simulate({ ...options, seed: seed + 1 })).not.toEqual(first)
})
