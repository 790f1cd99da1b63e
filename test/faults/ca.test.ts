import { describe, expect, test } from 'vitest'
import { LockingStore } from '../support/locking-store.js'
import { impatient } from '../support/managers.js'
import { ShiftingClock } from '../support/shifting-clock.js'
import { endpoints, foreignChains, html, nonsense, pem, useSharedCa } from './ca-cases.js'

const { managers: t, fault, machine, fails, survives, explains, endsAfter5Minutes, neverEnds } = useSharedCa()
const forever = 2 ** 31 - 1

test.each(endpoints)('%s fails on a problem document', async (on) => {
  const { problem } = await fails([{ on, type: 'serverInternal' }])
  expect(problem?.type).toBe('urn:ietf:params:acme:error:serverInternal')
})

test.each(['newOrder', 'certificate'] as const)('%s fails on an error in HTML', async (on) => {
  await fails([{ on, ...html, status: 502 }])
})

test.each(nonsense)('newOrder fails on a response of %s', async (_, answer) => {
  await fails([{ on: 'newOrder', ...answer }])
})

test.each(['end', 'reset'] as const)('newOrder fails on a body that breaks off: %s', async (breakOff) => {
  const { message } = await fails([{ on: 'newOrder', breakOff }], { isAnswered: false })
  expect(message).toMatch(/the request to .* failed: ECONNRESET/)
})

test.each([
  { on: 'newNonce', status: 502, times: 2 },
  { on: 'challenge', status: 429, retryAfter: 1, times: 2 },
  { on: 'authz', status: 404, times: 1 },
  { on: 'finalize', type: 'orderNotReady', times: 1 },
  { on: 'authz', retryAfter: 946_080_000 },
] as const)('an order survives %j', async (passing) => {
  await survives(passing)
})

test('a refusal with a Retry-After of 30 years says why, and when the next attempt is', async () => {
  await explains({ on: 'newOrder', type: 'rateLimited', retryAfter: 946_080_000 }, /rateLimited/)
})

test('newNonce fails on the status of a problem', async () => {
  const { message } = await fails([{ on: 'newNonce', type: 'serverInternal' }])
  expect(message).toMatch(/status \d{3} from .*\/newNonce/)
})

test.each([
  ['a nonce, of up to 1 hour', { on: 'newNonce' as const, type: 'rateLimited' }, 1],
  ['an order, with a body that is not JSON', { on: 'newOrder' as const, status: 503, body: '' }, 24],
])('Retry-After sets the time of the next attempt when the CA refuses %s', async (_, fault, hours) => {
  const { retryAt } = await fails([{ contentType: 'application/problem+json', retryAfter: 86_400, ...fault }])
  // fails() has advanced the clock by two days.
  expect(Math.round((Number(retryAt) - t.clock.now()) / 3_600_000)).toBe(hours - 48)
})

test.each([
  [
    'unauthorized',
    /Check that all A and AAAA records of "[\w-]+\.example" lead to servers that share this store/,
  ],
  ['connection', /The CA must be able to connect to "[\w-]+\.example" on port 80 or port 443\.$/],
  ['caa', /Allow the CA in the CAA records of "[\w-]+\.example"\.$/],
  ['serverInternal', /the [\w-]+ authorization is invalid: urn:ietf:params:acme:error:serverInternal: .*$/],
])('a validation that fails with %s also fails the attempt, and says what to do', async (type, text) => {
  const { problem, message } = await fails([{ on: 'challenge', invalid: true, type }])
  expect(problem?.type).toBe(`urn:ietf:params:acme:error:${type}`)
  expect(message).toMatch(text)
})

test.each([
  ['connection', 'Fetching https://h1.example/.well-known/acme-challenge/abc-DEF: Timeout during read'],
  ['unauthorized', '192.0.2.1: Invalid response from https://h1.example/.well-known/acme-challenge/abc: 503'],
  [
    'tls',
    'Fetching https://h1.example:8443/.well-known/acme-challenge/abc: remote error: tls: handshake failure',
  ],
])('a validation that fails with %s behind a redirect to https says so: %s', async (type, detail) => {
  const { problem, message } = await fails([{ on: 'challenge', invalid: true, type, detail }])
  expect(problem?.detail).toBe(detail)
  expect(message).toMatch(
    /Port 80 of "[\w-]+\.example" redirects challenge requests to https\. Exempt \/\.well-known\/acme-challenge\/ from the redirect\.$/,
  )
})

test.each([
  'Fetching http://h1.example/.well-known/acme-challenge/abc: Timeout during connect',
  'https://h1.example is not reachable',
])('a failed validation without a redirect has the advice for its type: %s', async (detail) => {
  const { message } = await fails([{ on: 'challenge', invalid: true, type: 'connection', detail }])
  expect(message).toMatch(/must be able to connect to "[\w-]+\.example" on port 80 or port 443\.$/)
})

test.each([{ status: 503 }, html])('no directory: %j', async (answer) => {
  await fails([{ on: 'directory', ...answer }])
})

test('no directory: the connection is reset', async () => {
  await fails([{ on: 'directory', breakOff: 'reset' }], { isAnswered: false })
})

test('an invalid directory is not cached', async () => {
  const { manager } = await machine({ clock: impatient(t.clock) })
  const active = fault({ on: 'directory', ...html })
  await expect(manager.getCertificate('a.example')).rejects.toThrow(
    /status 200 from .* is not an ACME directory/,
  )
  active.remove()
  t.clock.jump(10_000)
  expect(await manager.getCertificate('b.example')).toMatchObject({ host: 'b.example' })
})

test('a problem’s detail is truncated to 1,000 characters', async () => {
  const { problem } = await fails([{ on: 'newOrder', type: 'caa', detail: 'x'.repeat(100_000) }])
  expect(problem?.detail).toHaveLength(1_000)
})

test.each(foreignChains.slice(0, 3))('does not store a certificate chain: %s', async (_, make, reason) => {
  const { message } = await fails([{ on: 'certificate', ...pem, body: (await make()).chain }])
  expect(message).toMatch(reason)
})

test('a certificate that has expired by this machine’s clock is not stored', async () => {
  const { lifetimeMs } = t.ca
  const clock = new ShiftingClock()
  clock.set(t.clock.now() + 60_000 - clock.now())
  const { manager } = await machine({ clock })
  const before = t.ca.counts.certificates
  t.ca.lifetimeMs = 1_000
  try {
    await expect(manager.getCertificate('a.example')).rejects.toMatchObject({
      code: 'ERR_ISSUANCE_FAILED',
      message: expect.stringMatching(/is expired according to the clock of this machine/),
    })
  } finally {
    t.ca.lifetimeMs = lifetimeMs
  }
  expect(t.ca.counts.certificates - before).toBe(1)
  // No failure record: the clocks of other machines may differ.
  expect([...t.store.values.keys()].sort()).toEqual(['acme_account+key', 'acme_probe'])
})

describe('a CA that answers otherwise', () => {
  test('may leave an authorization pending although its challenge is invalid: the order ends with the reason', async () => {
    t.store = new LockingStore()
    const before = t.ca.authorizations.length
    const subproblems = [{ type: 'caa', detail: 'not this CA', host: 'a.example' }]
    const { problem } = await fails([
      { on: 'challenge', invalid: true, authorizationStaysPending: true, type: 'dns', subproblems },
    ])
    const urn = 'urn:ietf:params:acme:error'
    expect(problem).toMatchObject({
      type: `${urn}:dns`,
      subproblems: [{ type: `${urn}:caa`, detail: 'not this CA' }],
    })
    // The order that was given up leaves no pending authorization (RFC 8555 section 7.5.2).
    expect(t.ca.authorizations.slice(before).map(({ status }) => status)).toEqual(['deactivated', 'valid'])
  })
})

describe('an attempt fails after 5 minutes if', () => {
  test('the order stays in processing', () =>
    neverEnds({ issuanceDelayMs: forever }, () => t.ca.orders.at(-1)?.status === 'processing'))
  test('the challenge never becomes valid', () =>
    neverEnds({ validationDelayMs: forever }, () => t.store.values.has('a.example+token')))
  test('the challenge responds with HTML', async () => {
    const active = fault({ on: 'challenge', ...html })
    await endsAfter5Minutes(() => active.hits > 0)
  })
  test.each([
    ['newAccount', false],
    ['newOrder', false],
    ['certificate', true],
  ] as const)('%s hangs; recorded for the fleet: %s', async (on, isAnswered) => {
    const active = fault({ on, hang: true })
    await endsAfter5Minutes(() => active.hits > 0, { isAnswered })
  })
})
