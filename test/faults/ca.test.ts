import { afterAll, describe, expect, test } from 'vitest'
import { IssuanceError } from '../../src/index.js'
import type { Fault } from '../../src/testing/index.js'
import { makeBundle } from '../support/certificates.js'
import { day, useManagers } from '../support/managers.js'

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

/** One failing attempt: a typed error, a failure record and nothing else stored; afterwards it works. */
async function fails(faults: readonly Fault[]) {
  const { manager, events } = await t.machine()
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

describe.each(['newAccount', 'newOrder', 'authz', 'finalize', 'certificate'] as const)('%s', (on) => {
  test.each(problemTypes)('answered with %s', async (type) => {
    const { problem } = await fails([{ on, type }])
    expect(problem?.type).toBe(`urn:ietf:params:acme:error:${type}`)
  })

  test.each([
    ['HTML in place of JSON', html],
    ['an error in HTML', { ...html, status: 502 }],
    ['an empty body', { status: 200, contentType: 'application/json', body: '' }],
    ['JSON that is no object', { status: 200, contentType: 'application/json', body: 'null' }],
    ['JSON without what it should have', { status: 200, contentType: 'application/json', body: '{}' }],
    ['2 MB', { status: 200, contentType: 'application/json', body: `{"a":"${'x'.repeat(2_000_000)}"}` }],
  ])('answered with %s', async (_, fault) => {
    await fails([{ on, ...fault }])
  })
})

test.each(problemTypes)('a validation that failed with %s', async (type) => {
  const { problem } = await fails([{ on: 'challenge', invalid: true, type }])
  expect(problem?.type).toBe(`urn:ietf:params:acme:error:${type}`)
})

test.each([{ status: 503 }, html, { status: 404, contentType: 'text/plain', body: '' }])(
  'no directory: %j',
  async (fault) => {
    await fails([{ on: 'directory', ...fault }])
  },
)

test('a problem’s detail is kept up to 1,000 characters', async () => {
  const { problem } = await fails([{ on: 'newOrder', type: 'caa', detail: 'x'.repeat(100_000) }])
  expect(problem?.detail).toHaveLength(1_000)
})

describe('a certificate that is none of this order', () => {
  test.each([
    ['for another host', () => makeBundle({ host: 'b.example' }), /b\.example|host|name/],
    ['for another key', () => makeBundle({ host: 'a.example' }), /key/],
    ['expired', () => makeBundle({ host: 'a.example', notAfter: new Date(Date.now() - 1) }), /expired|key/],
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

describe('a CA that does not come to an end', () => {
  test.each([
    ['the order stays in processing', { issuanceDelayMs: 2 ** 31 - 1 }],
    ['the challenge never becomes valid', { validationDelayMs: 2 ** 31 - 1 }],
  ])('%s: given up after 5 minutes', async (_, delays) => {
    Object.assign(t.ca, delays)
    const { manager, events } = await t.machine()
    const attempt = manager.getCertificate('a.example').catch((reason: unknown) => reason)
    await expect.poll(() => t.ca.ordersFor('a.example')).toBe(1)
    await expect.poll(() => t.store.values.has('a.example+token')).toBe(true)
    t.clock.jump(300_000)
    expect(await attempt).toBeInstanceOf(Error)
    await expect.poll(() => events.issuanceFailed).toHaveLength(1)
    await expect.poll(() => t.store.values.has('a.example+token')).toBe(false)
    expect([...t.store.values.keys()].sort()).toEqual(['a.example+failure', 'acme_account+key'])
  })

  test.each([
    'directory',
    'newAccount',
    'newOrder',
    'authz',
    'challenge',
    'finalize',
    'certificate',
  ] as const)('%s hangs: given up after 5 minutes', async (on) => {
    const { manager, events } = await t.machine()
    const fault = t.ca.fault({ on, hang: true, times: Number.POSITIVE_INFINITY })
    const attempt = manager.getCertificate('a.example').catch((reason: unknown) => reason)
    await expect.poll(() => fault.hits).toBeGreaterThan(0)
    t.clock.jump(300_000)
    expect(await attempt).toBeInstanceOf(Error)
    await expect.poll(() => events.issuanceFailed).toHaveLength(1)
    expect(t.store.values.has('a.example')).toBe(false)
  })
})
