import { afterEach, expect, test } from 'vitest'
import { flood, randomName, sayHello, stall } from './attacks.js'
import { clientHello } from './client-hello.js'
import { attackInRounds, expectFlat, expectOnDuty, expectUnharmed } from './expectations.js'
import { openTarget, type Target } from './target.js'

let target: Target
afterEach(() => target.close())

test('a policy that throws leaves nothing in memory', async () => {
  target = await openTarget('throws')
  const rounds = await attackInRounds(target, 7, () =>
    flood(1_000, () => sayHello(target.tlsPort, clientHello({ name: randomName() }))),
  )
  for (const outcome of rounds.outcomes) expect(outcome).toEqual({ alert: 1_000 })
  expectFlat(rounds.reports, 1_000)
  await expectUnharmed(target, rounds)
})

test('a policy that never answers leaves nothing in memory', async () => {
  target = await openTarget('never')
  const { tlsPort } = target
  const rounds = await attackInRounds(target, 7, async () => {
    let refused = 0
    const handshakes = Array.from({ length: 1_500 }, async () => {
      const outcome = await sayHello(tlsPort, clientHello({ name: randomName() }))
      if (outcome === 'alert') refused += 1
    })
    await expect.poll(() => refused, { timeout: 300_000 }).toBe(500)
    await target.jump(30_000)
    await Promise.all(handshakes)
    return refused
  })
  expect(rounds.outcomes).toEqual(Array(7).fill(1_500))
  expectFlat(rounds.reports, 1_500)
  await expectOnDuty(target)
})

test('clients that stop in the middle of their ClientHello leave nothing in memory', async () => {
  target = await openTarget()
  const rounds = await attackInRounds(target, 7, async () => {
    const stalled = await stall(target.tlsPort, 300)
    expect(stalled.alive()).toBe(300)
    await stalled.close()
  })
  expectFlat(rounds.reports, 300)
  await expectUnharmed(target, rounds)
})
