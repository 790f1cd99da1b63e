import { afterEach, expect, test } from 'vitest'
import { challengeRequest, flood, randomName, sayHello, sendRequest } from './attacks.js'
import { clientHello } from './client-hello.js'
import { expectOnDuty, expectUnharmed, sevenRounds } from './expectations.js'
import { openTarget, type Target } from './target.js'

let target: Target
afterEach(() => target.close())

test('a policy that throws refuses: no request, no order, no memory', async () => {
  target = await openTarget('throws')
  const rounds = await sevenRounds(target, () =>
    flood(1_000, () => sayHello(target.tlsPort, clientHello({ name: randomName() }))),
  )
  for (const outcome of rounds.outcomes) expect(outcome).toEqual({ alert: 1_000 })
  for (const { events } of rounds.reports)
    expect(events).toEqual({ 'handshakeFailed ERR_HOST_POLICY': 1_000 })
  await expectUnharmed(target, rounds)
})

test('a slow policy is asked for a name once at a time; whoever asks meanwhile gets the same answer', async () => {
  target = await openTarget('slow')
  const { tlsPort, httpPort } = target
  const hello = clientHello({ name: 'asked.example' })
  const waiting = [
    ...Array.from({ length: 200 }, () => sayHello(tlsPort, hello)),
    ...Array.from({ length: 50 }, () => sendRequest(httpPort, challengeRequest('token', 'asked.example'))),
  ]
  // Handshakes of others go on meanwhile.
  await expectOnDuty(target)
  let settled = false
  const outcomes = Promise.all(waiting).finally(() => {
    settled = true
  })
  const mostAtOnce: number[] = []
  while (!settled) mostAtOnce.push((await target.answer(false)).mostAtOnce)
  expect(Math.max(...mostAtOnce)).toBe(1)
  expect((await outcomes).filter((outcome) => outcome === 'alert')).toHaveLength(200)
  expect((await outcomes).filter((outcome) => outcome === '404')).toHaveLength(50)
})

test('a policy that never answers keeps no more than 1,000 names, and each no longer than 30 s', async () => {
  target = await openTarget('never')
  const { tlsPort } = target
  const rounds = await sevenRounds(target, async () => {
    let refused = 0
    const handshakes = Array.from({ length: 1_500 }, async () => {
      const outcome = await sayHello(tlsPort, clientHello({ name: randomName() }))
      if (outcome === 'alert') refused += 1
    })
    // Those that found no place.
    await expect.poll(() => refused, { timeout: 20_000 }).toBe(500)
    expect(await target.serves('allowed.example')).toBe(true)
    await target.jump(30_000)
    await Promise.all(handshakes)
    return refused
  })
  expect(rounds.outcomes).toEqual(Array(7).fill(1_500))
  await expectUnharmed(target, rounds, 1_500)
})
