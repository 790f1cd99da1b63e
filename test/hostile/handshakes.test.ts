import { afterEach, expect, test } from 'vitest'
import { abort, flood, randomName, sayHello, stall } from './attacks.js'
import { clientHello } from './client-hello.js'
import { expectOnDuty, expectUnharmed, sevenRounds } from './expectations.js'
import { openTarget, type Target } from './target.js'

let target: Target
afterEach(() => target.close())
const times = 1_000

test('the ClientHello that the attacks are made of is one', async () => {
  target = await openTarget()
  expect(await sayHello(target.tlsPort, clientHello({ name: 'allowed.example' }))).toBe('served')
  expect(await sayHello(target.tlsPort, clientHello({ name: 'other.example' }))).toBe('served')
  const { operations } = await target.report()
  expect(operations).toContain('get other.example')
})

test('random server names cost no request, no order and no memory', async () => {
  target = await openTarget()
  const rounds = await sevenRounds(target, () =>
    flood(times, () => sayHello(target.tlsPort, clientHello({ name: randomName() }))),
  )
  for (const outcome of rounds.outcomes) expect(outcome).toEqual({ alert: times })
  for (const { events } of rounds.reports) expect(events).toEqual({ 'refused policy': times })
  await expectUnharmed(target, rounds)
})

test('nor do many handshakes for one name that is refused', async () => {
  target = await openTarget()
  const hello = clientHello({ name: 'refused.example' })
  const rounds = await sevenRounds(target, () => flood(times, () => sayHello(target.tlsPort, hello)))
  for (const outcome of rounds.outcomes) expect(outcome).toEqual({ alert: times })
  for (const { events } of rounds.reports) expect(events).toEqual({ 'refused policy': times })
  await expectUnharmed(target, rounds)
})

test('nor do random names in the ClientHello of a CA that validates', async () => {
  target = await openTarget()
  const rounds = await sevenRounds(target, () =>
    flood(times, () => sayHello(target.tlsPort, clientHello({ name: randomName(), protocol: 'acme-tls/1' }))),
  )
  for (const outcome of rounds.outcomes) expect(outcome).toEqual({ alert: times })
  for (const { events } of rounds.reports) expect(events).toEqual({ 'refused policy': times })
  await expectUnharmed(target, rounds)
})

test('nor do handshakes that are aborted, of hosts that are refused and of those that are served', async () => {
  target = await openTarget()
  const names = ['refused.example', 'allowed.example']
  const rounds = await sevenRounds(target, () =>
    flood(times, (index) => {
      const hello = clientHello({ name: names[index % 2] as string })
      return abort(target.tlsPort, hello, index % 4 < 2 ? 'sent' : 'answered')
    }),
  )
  await expectUnharmed(target, rounds)
})

test('while hundreds of clients stop in the middle of their ClientHello, others are served', async () => {
  target = await openTarget()
  const rounds = await sevenRounds(target, async () => {
    const stalled = await stall(target.tlsPort, 300)
    expect(await target.serves('allowed.example')).toBe(true)
    expect(stalled.alive()).toBe(300)
    await stalled.close()
  })
  await expectUnharmed(target, rounds, 300)
})

test('names that can have no certificate are refused before the policy is asked', async () => {
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
  const rounds = await sevenRounds(target, () =>
    flood(names.length, (index) => sayHello(tlsPort, clientHello({ name: names[index] as string }))),
  )
  for (const outcome of rounds.outcomes) expect(outcome.served ?? 0).toBe(0)
  for (const { policyCalls, events } of rounds.reports) {
    expect(policyCalls).toBe(0)
    expect(Object.keys(events)).toEqual(['refused name'])
  }
  await expectUnharmed(target, rounds)
})

test('names with bytes beyond ASCII, in UTF-8 or not, are served as nothing but what they are to IDNA', async () => {
  target = await openTarget()
  const bytes = Array.from({ length: 128 }, (_, byte) => byte + 128)
  const [before, after] = [Buffer.from('allowed'), Buffer.from('.example')]
  const names = bytes.flatMap((byte) => [
    Buffer.concat([before, Buffer.from([byte]), after]),
    Buffer.concat([before, Buffer.from(String.fromCharCode(byte)), after]),
  ])
  const { tlsPort } = target
  const served: string[] = []
  const rounds = await sevenRounds(target, () =>
    flood(names.length, async (index) => {
      const outcome = await sayHello(tlsPort, clientHello({ name: names[index] as Buffer }))
      if (outcome === 'served') served.push((names[index] as Buffer).toString('hex', 7, 8))
      return outcome
    }),
  )
  // A soft hyphen is dropped by IDNA (RFC 5895, UTS 46): the name is the one without it.
  expect(new Set(served)).toEqual(new Set(['ad']))
  for (const { events } of rounds.reports) {
    expect(Object.keys(events).sort()).toEqual(['refused name', 'refused policy'])
  }
  await expectUnharmed(target, rounds)
})

test('a ClientHello that is cut off or has a byte changed ends nothing but its connection', async () => {
  target = await openTarget()
  const whole = clientHello({ name: 'refused.example', protocol: 'h2' })
  for (let at = 0; at < whole.length; at++) {
    const changed = Buffer.from(whole)
    changed[at] = (changed[at] as number) ^ 0xff
    await abort(target.tlsPort, changed, 'sent')
    await abort(target.tlsPort, whole.subarray(0, at), 'sent')
  }
  await expectOnDuty(target)
})
