import { afterAll, describe, expect, test } from 'vitest'
import { IssuanceError } from '../../src/index.js'
import type { Fault } from '../../src/testing/index.js'
import { makeBundle } from '../support/certificates.js'
import { day, impatient, useManagers } from '../support/managers.js'

const t = useManagers()
let longestMs = 0
let cases = 0
afterAll(() => console.log(`${cases} faults of the CA; longest wait ${Math.round(longestMs)} ms`))

/** RFC 8555 section 6.7, RFC 9773 section 5, draft-ietf-acme-profiles. */
const problemTypes = [
  'accountDoesNotExist',
  'alreadyReplaced',
  'alreadyRevoked',
  'badCSR',
  'badNonce',
  'badPublicKey',
  'badRevocationReason',
  'badSignatureAlgorithm',
  'caa',
  'compound',
  'connection',
  'dns',
  'externalAccountRequired',
  'incorrectResponse',
  'invalidContact',
  'invalidProfile',
  'malformed',
  'orderNotReady',
  'rateLimited',
  'rejectedIdentifier',
  'serverInternal',
  'tls',
  'unauthorized',
  'unsupportedContact',
  'unsupportedIdentifier',
  'userActionRequired',
  'somethingNew',
]

const pem = { status: 200, contentType: 'application/pem-certificate-chain' }
const html = { status: 200, contentType: 'text/html', body: '<html><title>Maintenance</title></html>' }

const nonsense: [string, Partial<Fault>][] = [
  ['HTML in place of JSON', html],
  ['JSON that is no object', { status: 200, contentType: 'application/json', body: 'null' }],
  ['JSON without what it should have', { status: 200, contentType: 'application/json', body: '{}' }],
]

/** One failing attempt: a typed error, a failure record and nothing else stored; afterwards it works. */
async function fails(faults: readonly Fault[]) {
  const { manager, events } = await t.machine({ clock: impatient(t.clock) })
  const active = faults.map((fault) => t.ca.fault({ times: Number.POSITIVE_INFINITY, ...fault }))
  const started = performance.now()
  const error: unknown = await manager.getCertificate('a.example').catch((reason: unknown) => reason)
  longestMs = Math.max(longestMs, performance.now() - started)
  cases += 1
  expect(error).toBeInstanceOf(IssuanceError)
  expect(active.some(({ hits }) => hits > 0)).toBe(true)
  expect([...t.store.values.keys()].filter((key) => key !== 'acme_account+key')).toEqual([
    'a.example+failure',
  ])
  expect(events.issuanceFailed).toHaveLength(1)
  expect(events.issued).toBeUndefined()
  for (const fault of active) fault.remove()
  t.clock.jump(2 * day)
  expect(await manager.getCertificate('a.example')).toMatchObject({ host: 'a.example' })
  expect([...t.store.values.keys()].sort()).toEqual(['a.example', 'acme_account+key'])
  return error as IssuanceError
}

/** Those that a client asks in the course of its first order, and that answer with a body. */
const endpoints = [
  'newAccount',
  'newOrder',
  'authz',
  'challenge',
  'order',
  'finalize',
  'certificate',
] as const

describe.each(endpoints)('%s', (on) => {
  test.each(problemTypes)('answered with %s', async (type) => {
    const { problem } = await fails([{ on, type }])
    expect(problem?.type).toBe(`urn:ietf:params:acme:error:${type}`)
  })

  test.each([
    ['an error in HTML', { ...html, status: 502 }],
    ['an empty body', { status: 200, contentType: 'application/json', body: '' }],
    ['2 MB', { status: 200, contentType: 'application/json', body: `{"a":"${'x'.repeat(2_000_000)}"}` }],
  ])('answered with %s', async (_, fault) => {
    await fails([{ on, ...fault }])
  })

  // Nobody needs what the answer to a challenge says: below, what becomes of an order whose challenge was not met.
  const said = on === 'challenge' ? [] : nonsense
  test.each(said)('answered with %s', async (_, fault) => {
    await fails([{ on, ...fault }])
  })

  // It has been done all the same: see below.
  const breakOffs = on === 'finalize' ? [] : (['end', 'reset'] as const)
  test.each(breakOffs)('broken off in its body: %s', async (breakOff) => {
    const { message } = await fails([{ on, breakOff }])
    expect(message).toMatch(/did not answer at .*: ECONNRESET/)
  })
})

describe('newNonce', () => {
  // Without bodies, as nonces are asked for with HEAD: then they say nothing that could be wrong.
  test.each(problemTypes)('answered with %s', async (type) => {
    const { message } = await fails([{ on: 'newNonce', type }])
    expect(message).toMatch(/answered \d{3} at .*\/newNonce/)
  })

  test('answered with an error in HTML', async () => {
    await fails([{ on: 'newNonce', ...html, status: 502 }])
  })
})

test.each([
  ['a nonce', { on: 'newNonce' as const, type: 'rateLimited' }],
  ['an order, with a body that is no JSON', { on: 'newOrder' as const, status: 503, body: '' }],
])('Retry-After counts where the CA refuses %s', async (_, fault) => {
  const { retryAt } = await fails([{ contentType: 'application/problem+json', retryAfter: 86_400, ...fault }])
  // The clock has been moved on by two days since.
  expect(Math.round((Number(retryAt) - t.clock.now()) / 3_600_000)).toBe(-24)
})

test.each(problemTypes)('a validation that failed with %s', async (type) => {
  const { problem } = await fails([{ on: 'challenge', invalid: true, type }])
  expect(problem?.type).toBe(`urn:ietf:params:acme:error:${type}`)
})

test.each([
  { status: 503 },
  html,
  { status: 404, contentType: 'text/plain', body: '' },
  { breakOff: 'end' as const },
  { breakOff: 'reset' as const },
])('no directory: %j', async (fault) => {
  await fails([{ on: 'directory', ...fault }])
})

test('what is no directory is not kept as one', async () => {
  const { manager } = await t.machine()
  t.ca.fault({ on: 'directory', ...html })
  await expect(manager.getCertificate('a.example')).rejects.toThrow(/answered 200 at .*no ACME directory/)
  expect(await manager.getCertificate('b.example')).toMatchObject({ host: 'b.example' })
})

test('a problem’s detail is kept up to 1,000 characters', async () => {
  const { problem } = await fails([{ on: 'newOrder', type: 'caa', detail: 'x'.repeat(100_000) }])
  expect(problem?.detail).toHaveLength(1_000)
})

describe('a certificate that is none of this order', () => {
  test.each([
    ['for another host', () => makeBundle({ host: 'b.example' }), /b\.example|host|name/],
    ['for another key', () => makeBundle({ host: 'a.example' }), /key/],
    ['empty', async () => ({ chain: '' }), /./],
    ['text', async () => ({ chain: 'no certificate\n' }), /./],
    [
      'of 1 MB',
      async () => ({ chain: (await makeBundle({ host: 'a.example' })).chain.repeat(1_600) }),
      /key|MB|large|bytes/,
    ],
  ])('is not stored: %s', async (_, make, reason) => {
    const { chain } = await make()
    const { message } = await fails([{ on: 'certificate', ...pem, body: chain }])
    expect(message).toMatch(reason)
  })
})

test('a certificate that has ended by the time that it comes is not stored', async () => {
  t.ca.lifetimeMs = 1_000
  t.ca.fault({ on: 'certificate', delayMs: 2_000 })
  const { manager } = await t.machine()
  await expect(manager.getCertificate('a.example')).rejects.toMatchObject({
    code: 'ERR_ISSUANCE_FAILED',
    message: expect.stringMatching(/is expired by this machine’s clock/),
  })
  expect(t.ca.counts.certificates).toBe(1)
  // No other machine has to think the same of its clock.
  expect([...t.store.values.keys()]).toEqual(['acme_account+key'])
})

describe('a CA that does not come to an end', () => {
  test.each([
    ['the order stays in processing', { issuanceDelayMs: 2 ** 31 - 1 }],
    ['the challenge never becomes valid', { validationDelayMs: 2 ** 31 - 1 }],
  ])('%s: given up after 5 minutes', async (_, delays) => {
    Object.assign(t.ca, delays)
    await endsAfter5Minutes()
  })

  test.each(nonsense)('a challenge answered with %s: given up after 5 minutes', async (_, fault) => {
    t.ca.fault({ on: 'challenge', ...fault })
    await endsAfter5Minutes()
  })

  async function endsAfter5Minutes() {
    const { manager, events } = await t.machine()
    const attempt = manager.getCertificate('a.example').catch((reason: unknown) => reason)
    await expect.poll(() => t.ca.ordersFor('a.example')).toBe(1)
    await expect.poll(() => t.store.values.has('a.example+token')).toBe(true)
    t.clock.jump(300_000)
    expect(await attempt).toBeInstanceOf(Error)
    await expect.poll(() => events.issuanceFailed).toHaveLength(1)
    await expect.poll(() => t.store.values.has('a.example+token')).toBe(false)
    expect([...t.store.values.keys()].sort()).toEqual(['a.example+failure', 'acme_account+key'])
  }

  test.each(['directory', 'newNonce', ...endpoints] as const)(
    '%s hangs: given up after 5 minutes',
    async (on) => {
      const { manager, events } = await t.machine()
      const fault = t.ca.fault({ on, hang: true, times: Number.POSITIVE_INFINITY })
      const attempt = manager.getCertificate('a.example').catch((reason: unknown) => reason)
      await expect.poll(() => fault.hits).toBeGreaterThan(0)
      t.clock.jump(300_000)
      expect(await attempt).toBeInstanceOf(Error)
      await expect.poll(() => events.issuanceFailed).toHaveLength(1)
      expect(t.store.values.has('a.example')).toBe(false)
    },
  )
})
