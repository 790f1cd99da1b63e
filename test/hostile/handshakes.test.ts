import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { abort, flood, randomName, sayHello, stall } from './attacks.js'
import { clientHello } from './client-hello.js'
import { expectOnDuty, expectUnharmed } from './expectations.js'
import { openTarget, type Target } from './target.js'

// That nothing of these attacks stays in memory is for floods.flood.ts and memory.long.ts.
let target: Target
beforeAll(async () => {
  target = await openTarget()
})
afterEach(() => target.report())
afterAll(() => target.close())
const times = 100

/** Nothing of the attack reached the store or the CA; resolves with the events that it caused. */
async function expectNothingBut<T>(attack: () => Promise<T>) {
  const outcome = await attack()
  const report = await target.report()
  await expectUnharmed(target, { outcomes: [outcome], reports: [report] })
  return { outcome, events: report.events }
}

test('the ClientHello that the attacks are made of is one', async () => {
  expect(await sayHello(target.tlsPort, clientHello({ name: 'allowed.example' }))).toBe('served')
  expect(await sayHello(target.tlsPort, clientHello({ name: 'other.example' }))).toBe('served')
  const { operations } = await target.report()
  expect(operations).toContain('get other.example')
})

test('random server names cost no request and no order', async () => {
  const attack = () => flood(times, () => sayHello(target.tlsPort, clientHello({ name: randomName() })))
  expect(await expectNothingBut(attack)).toEqual({
    outcome: { alert: times },
    events: { 'refused policy': times },
  })
})

test('nor do many handshakes for one name that is refused', async () => {
  const hello = clientHello({ name: 'refused.example' })
  const attack = () => flood(times, () => sayHello(target.tlsPort, hello))
  expect(await expectNothingBut(attack)).toEqual({
    outcome: { alert: times },
    events: { 'refused policy': times },
  })
})

test('nor do random names in the ClientHello of a CA that validates', async () => {
  const attack = () =>
    flood(times, () => sayHello(target.tlsPort, clientHello({ name: randomName(), protocol: 'acme-tls/1' })))
  expect(await expectNothingBut(attack)).toEqual({
    outcome: { alert: times },
    events: { 'refused policy': times },
  })
})

test('nor do handshakes that are aborted, of hosts that are refused and of those that are served', async () => {
  const names = ['refused.example', 'allowed.example']
  await expectNothingBut(() =>
    flood(times, (index) => {
      const hello = clientHello({ name: names[index % 2] as string })
      return abort(target.tlsPort, hello, index % 4 < 2 ? 'sent' : 'answered')
    }),
  )
})

test('while hundreds of clients stop in the middle of their ClientHello, others are served', async () => {
  await expectNothingBut(async () => {
    const stalled = await stall(target.tlsPort, 300)
    expect(await target.serves('allowed.example')).toBe(true)
    expect(stalled.alive()).toBe(300)
    await stalled.close()
  })
})

test('names with bytes beyond ASCII, in UTF-8 or not, are served as nothing but what they are to IDNA', async () => {
  const bytes = Array.from({ length: 128 }, (_, byte) => byte + 128)
  const [before, after] = [Buffer.from('allowed'), Buffer.from('.example')]
  const names = bytes.flatMap((byte) => [
    Buffer.concat([before, Buffer.from([byte]), after]),
    Buffer.concat([before, Buffer.from(String.fromCharCode(byte)), after]),
  ])
  const { tlsPort } = target
  const served: string[] = []
  const { events } = await expectNothingBut(() =>
    flood(names.length, async (index) => {
      const outcome = await sayHello(tlsPort, clientHello({ name: names[index] as Buffer }))
      if (outcome === 'served') served.push((names[index] as Buffer).toString('hex', 7, 8))
      return outcome
    }),
  )
  // A soft hyphen is dropped by IDNA (RFC 5895, UTS 46): the name is the one without it.
  expect(new Set(served)).toEqual(new Set(['ad']))
  expect(Object.keys(events).sort()).toEqual(['refused name', 'refused policy'])
})

test('a ClientHello that is cut off or has a byte changed ends nothing but its connection', async () => {
  const whole = clientHello({ name: 'refused.example', protocol: 'h2' })
  for (let at = 0; at < whole.length; at++) {
    const changed = Buffer.from(whole)
    changed[at] = (changed[at] as number) ^ 0xff
    await abort(target.tlsPort, changed, 'sent')
    await abort(target.tlsPort, whole.subarray(0, at), 'sent')
  }
  await expectOnDuty(target)
})
