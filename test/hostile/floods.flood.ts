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

/** Set FLOOD_TIMES for shorter attacks. */
const times = Number(process.env.FLOOD_TIMES ?? 10_000)
const count = times.toLocaleString('en')

const hello = (name: string, protocol?: string) => clientHello({ name, ...(protocol && { protocol }) })

/** Each attack prints one line of figures, which include the event loop's delay. */
const floods: readonly (readonly [string, (index: number) => Promise<string>])[] = [
  [`${count} random server names`, () => sayHello(target.tlsPort, hello(randomName()))],
  [`${count} handshakes for one refused name`, () => sayHello(target.tlsPort, hello('refused.example'))],
  [
    `${count} random names as of a CA that validates`,
    () => sayHello(target.tlsPort, hello(randomName(), 'acme-tls/1')),
  ],
  [
    `${count} aborted handshakes`,
    (index) => {
      const name = index % 2 ? 'refused.example' : 'allowed.example'
      return abort(target.tlsPort, hello(name), index % 4 < 2 ? 'sent' : 'answered')
    },
  ],
  [
    `${count} challenge requests for random hosts`,
    () => sendRequest(target.httpPort, challengeRequest(randomToken(), randomName())),
  ],
]

test.each(floods)('%s cause no request, no order and no memory growth', async (what, attack) => {
  const rounds = await attackInRounds(target, 7, () => flood(times, attack))
  console.log(describeRounds(what, rounds))
  expectFlat(rounds.reports, times)
  await expectUnharmed(target, rounds)
})

test(`${count} random tokens under an allowed Host cause 50 reads`, async () => {
  const rounds = await attackInRounds(target, 7, () =>
    flood(times, () =>
      sendRequest(target.httpPort, challengeRequest(randomToken(), 'allowed.example'), '127.0.0.2'),
    ),
  )
  console.log(describeRounds(`${count} random tokens`, rounds))
  // The server's clock stands still, so a client has only its initial allowance of reads.
  expect(rounds.reports.flatMap(({ operations }) => operations)).toHaveLength(50)
  expectFlat(rounds.reports, times)
  await expectOnDuty(target)
})
