import { expect, test } from 'vitest'
import { assertGuarantees } from './guarantees.js'
import { simulate } from './world.js'

/** Set SEED for another run. */
const seed = Number(process.env.SEED ?? 1)
const short = { seed, hosts: 10, machines: 3, lifetimeDays: 6 }
/** Ends a run that hangs, also on a slow machine. */
const timeout = 600_000

test(`75 days of 6-day certificates, 10 hosts, 3 machines, with outages, restarts and crashes (SEED=${seed})`, {
  timeout,
}, async () => {
  const options = { ...short, days: 75 }
  assertGuarantees(options, await simulate(options))
})

test('the same seed produces the same run, another seed another run', { timeout }, async () => {
  const options = { ...short, days: 10 }
  const first = await simulate(options)
  expect(await simulate(options)).toEqual(first)
  expect(await simulate({ ...options, seed: seed + 1 })).not.toEqual(first)
})
