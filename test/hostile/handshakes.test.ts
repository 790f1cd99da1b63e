import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { abort, flood, randomName, sayHello, stall } from './attacks.js'
import { clientHello } from './client-hello.js'
import { expectOnDuty, expectUnharmed } from './expectations.js'
import { openTarget, type Target } from './target.js'

// floods.flood.ts and memory.long.ts test that these attacks leave nothing in memory.
let target: Target
beforeAll(async () => {
  target = await openTarget()
})
afterEach(() => target.report())
afterAll(() => target.close())
const times = 100

/** Expects that the attack did not reach the store or the CA; resolves with the events that it caused. */
async function expectNothingBut<T>(attack: () => Promise<T>) {
  const outcome = await attack()
  const report = await target.report()
  await expectUnharmed(target, { outcomes: [outcome], reports: [report] })
  return { outcome, events: report.events }
}

test('the server accepts the ClientHello that the attacks use', async () => {
  expect(await sayHello(target.tlsPort, clientHello({ name: 'allowed.example' }))).toBe('served')
  expect(await sayHello(target.tlsPort, clientHello({ name: 'other.example' }))).toBe('served')
  const { operations } = await target.report()
  expect(operations).toContain('get other.example')
})

test('random server names cause no request and no order', async () => {
  const attack = () => flood(times, () => sayHello(target.tlsPort, clientHello({ name: randomName() })))
  expect(await expectNothingBut(attack)).toEqual({
    outcome: { alert: times },
    events: { 'refused policy': times },
  })
})

test('many handshakes for one refused name cause no request and no order', async () => {
  const hello = clientHello({ name: 'refused.example' })
  const attack = () => flood(times, () => sayHello(target.tlsPort, hello))
  expect(await expectNothingBut(attack)).toEqual({
    outcome: { alert: times },
    events: { 'refused policy': times },
  })
})

test('random names in tls-alpn-01 handshakes cause no request and no order', async () => {
  const attack = () =>
    flood(times, () => sayHello(target.tlsPort, clientHello({ name: randomName(), protocol: 'acme-tls/1' })))
  const { outcome, events } = await expectNothingBut(attack)
  expect(outcome).toEqual({ alert: times })
  // The policy is asked 50 times at once, then once every 100 ms: how many that are depends on the machine.
  const { 'refused policy': asked = 0, 'refused rate': limited = 0 } = events
  expect(asked).toBeGreaterThanOrEqual(50)
  expect(asked + limited).toBe(times)
})

test('aborted handshakes for refused and for served hosts cause no request and no order', async () => {
  const names = ['refused.example', 'allowed.example']
  await expectNothingBut(() =>
    flood(times, (index) => {
      const hello = clientHello({ name: names[index % 2] as string })
      return abort(target.tlsPort, hello, index % 4 < 2 ? 'sent' : 'answered')
    }),
  )
})

test('other clients are served while 300 clients stop in the middle of their ClientHello', async () => {
  await expectNothingBut(async () => {
    const stalled = await stall(target.tlsPort, 300)
    expect(await target.serves('allowed.example')).toBe(true)
    expect(stalled.alive()).toBe(300)
    await stalled.close()
  })
})

test('names with non-ASCII bytes, in UTF-8 or not, are served only if IDNA maps them to an allowed host', async () => {
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
  // IDNA drops a soft hyphen (RFC 5895, UTS 46), which leaves the allowed name.
  expect(new Set(served)).toEqual(new Set(['ad']))
  expect(Object.keys(events).sort()).toEqual(['refused name', 'refused policy'])
})

test('a truncated ClientHello, or one with a changed byte, ends only its own connection', async () => {
  const whole = clientHello({ name: 'refused.example', protocol: 'h2' })
  for (let at = 0; at < whole.length; at++) {
    const changed = Buffer.from(whole)
    changed[at] = (changed[at] as number) ^ 0xff
    await abort(target.tlsPort, changed, 'sent')
    await abort(target.tlsPort, whole.subarray(0, at), 'sent')
  }
  await expectOnDuty(target)
})
