import { afterEach, expect, test } from 'vitest'
import { challengeRequest, flood, randomName, sayHello, sendRequest } from './attacks.js'
import { clientHello } from './client-hello.js'
import { attackInRounds, expectOnDuty, expectUnharmed } from './expectations.js'
import { openTarget, type Target } from './target.js'

let target: Target
afterEach(() => target.close())

test('a policy that throws refuses the host: no request and no order', async () => {
  target = await openTarget('throws')
  const rounds = await attackInRounds(target, 1, () =>
    flood(100, () => sayHello(target.tlsPort, clientHello({ name: randomName() }))),
  )
  for (const outcome of rounds.outcomes) expect(outcome).toEqual({ alert: 100 })
  for (const { events } of rounds.reports)
    expect(events).toEqual({ 'handshakeFailed ERR_HOST_POLICY_FAILED': 100 })
  await expectUnharmed(target, rounds)
})

test('concurrent handshakes and requests for a name share one call of a slow policy and its result', async () => {
  target = await openTarget('slow')
  const { tlsPort, httpPort } = target
  const hello = clientHello({ name: 'asked.example' })
  const waiting = [
    ...Array.from({ length: 50 }, () => sayHello(tlsPort, hello)),
    ...Array.from({ length: 20 }, () => sendRequest(httpPort, challengeRequest('token', 'asked.example'))),
  ]
  // Handshakes for other hosts still succeed.
  await expectOnDuty(target)
  let settled = false
  const outcomes = Promise.all(waiting).finally(() => {
    settled = true
  })
  const mostAtOnce: number[] = []
  while (!settled) mostAtOnce.push((await target.answer(false)).mostAtOnce)
  expect(Math.max(...mostAtOnce)).toBe(1)
  expect((await outcomes).filter((outcome) => outcome === 'alert')).toHaveLength(50)
  expect((await outcomes).filter((outcome) => outcome === '404')).toHaveLength(20)
})

test('a policy that never answers holds at most 1,000 names, each for at most 30 s', async () => {
  target = await openTarget('never')
  const { tlsPort } = target
  let refused = 0
  const handshakes = Array.from({ length: 1_050 }, async () => {
    const outcome = await sayHello(tlsPort, clientHello({ name: randomName() }))
    if (outcome === 'alert') refused += 1
  })
  // The handshakes beyond the limit fail at once.
  await expect.poll(() => refused, { timeout: 110_000 }).toBe(50)
  expect(await target.serves('allowed.example')).toBe(true)
  await target.jump(30_000)
  await Promise.all(handshakes)
  expect(refused).toBe(1_050)
  await expectOnDuty(target)
})

test('names that cannot have a certificate are refused without a call of the policy', async () => {
  target = await openTarget('throws')
  const ascii = Array.from({ length: 128 }, (_, byte) => String.fromCharCode(byte))
  const odd = ascii.filter((character) => !/[a-z0-9.-]/i.test(character))
  const names = [
    ...odd.flatMap((odd) => [`allowed${odd}.example`, `${odd}allowed.example`, `allowed.example${odd}`]),
    ...['', '.', '..', '.allowed.example', 'allowed..example', 'allowed.example..', 'example', '*.example'],
    ...[
      '-allowed.example',
      'allowed-.example',
      'xn--.example',
      'xn--a.example',
      '127.0.0.1',
      '[::1]',
      '0x7f.1',
    ],
    ...['../allowed.example', '%2e%2e%2fallowed.example', 'allowed%2eexample', 'allowed.example+token'],
    ...['acme_account+key', `${'a'.repeat(64)}.example`, `${'a.'.repeat(140)}example`, 'a'.repeat(60_000)],
  ]
  const { tlsPort } = target
  const rounds = await attackInRounds(target, 1, () =>
    flood(names.length, (index) => sayHello(tlsPort, clientHello({ name: names[index] as string }))),
  )
  for (const outcome of rounds.outcomes) expect(outcome.served ?? 0).toBe(0)
  for (const { policyCalls, events } of rounds.reports) {
    expect(policyCalls).toBe(0)
    expect(Object.keys(events)).toEqual(['refused name'])
  }
  await expectUnharmed(target, rounds)
})
