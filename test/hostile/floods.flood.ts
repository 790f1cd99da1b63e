import { afterEach, beforeEach, expect, test } from 'vitest'
import { abort, challengeRequest, flood, randomName, randomToken, sayHello, sendRequest } from './attacks.js'
import { clientHello } from './client-hello.js'
import { attackInRounds, describeRounds, expectFlat, expectOnDuty, expectUnharmed } from './expectations.js'
import { openTarget, type Target } from './target.js'

let target: Target
beforeEach(async () => {
  target = await openTarget()
})
afterEach(() => target.close())

const times = 10_000
const longestDelayMs = 20

const hello = (name: string, protocol?: string) => clientHello({ name, ...(protocol && { protocol }) })

/** Each is told to us as one line of figures. */
const floods: readonly (readonly [string, (index: number) => Promise<string>])[] = [
  ['10,000 random server names', () => sayHello(target.tlsPort, hello(randomName()))],
  ['10,000 handshakes for one refused name', () => sayHello(target.tlsPort, hello('refused.example'))],
  [
    '10,000 random names as of a CA that validates',
    () => sayHello(target.tlsPort, hello(randomName(), 'acme-tls/1')),
  ],
  [
    '10,000 aborted handshakes',
    (index) => {
      const name = index % 2 ? 'refused.example' : 'allowed.example'
      return abort(target.tlsPort, hello(name), index % 4 < 2 ? 'sent' : 'answered')
    },
  ],
  [
    '10,000 challenge requests for random hosts',
    () => sendRequest(target.httpPort, challengeRequest(randomToken(), randomName())),
  ],
]

test.each(floods)('%s cost no request, no order, no memory, and no time of others', async (what, attack) => {
  const rounds = await attackInRounds(target, 7, () => flood(times, attack))
  console.log(describeRounds(what, rounds))
  expectFlat(rounds.reports)
  await expectUnharmed(target, rounds)
  for (const { delayP99 } of rounds.reports) expect(delayP99).toBeLessThan(longestDelayMs)
})

test('10,000 random tokens under an allowed Host lead to few reads', async () => {
  const rounds = await attackInRounds(target, 7, () =>
    flood(times, () =>
      sendRequest(target.httpPort, challengeRequest(randomToken(), 'allowed.example'), '127.0.0.2'),
    ),
  )
  console.log(describeRounds('10,000 random tokens', rounds))
  // The server's clock stands still: what a client may have read at once.
  expect(rounds.reports.flatMap(({ operations }) => operations)).toHaveLength(50)
  expectFlat(rounds.reports)
  await expectOnDuty(target)
  for (const { delayP99 } of rounds.reports) expect(delayP99).toBeLessThan(longestDelayMs)
})
