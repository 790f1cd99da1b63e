import { afterAll, beforeAll, beforeEach, expect, onTestFinished } from 'vitest'
import { IssuanceError } from '../../src/index.js'
import type { Fault } from '../../src/testing/index.js'
import { makeBundle } from '../support/certificates.js'
import { day, impatient, Managers } from '../support/managers.js'
import { MemoryStore } from '../support/memory-store.js'

/** RFC 8555 section 6.7, RFC 9773 section 5, draft-ietf-acme-profiles. */
export const problemTypes = [
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
] as const

/** A type that the client retries, one that it obeys, a fault of the CA, a refusal, and an unknown type. */
export const fewProblemTypes = [
  'badNonce',
  'rateLimited',
  'serverInternal',
  'malformed',
  'somethingNew',
] as const

export const pem = { status: 200, contentType: 'application/pem-certificate-chain' }
export const html = { status: 200, contentType: 'text/html', body: '<html><title>Maintenance</title></html>' }

export const nonsense: [string, Partial<Fault>][] = [
  ['HTML in place of JSON', html],
  ['JSON that is not an object', { status: 200, contentType: 'application/json', body: 'null' }],
  ['JSON without the required fields', { status: 200, contentType: 'application/json', body: '{}' }],
]

const errorPage: [string, Partial<Fault>] = ['an error in HTML', { ...html, status: 502 }]
/** Responses with status 200 that no client can use. */
const useless: [string, Partial<Fault>][] = [
  ['an empty body', { status: 200, contentType: 'application/json', body: '' }],
  ['2 MB', { status: 200, contentType: 'application/json', body: `{"a":"${'x'.repeat(2_000_000)}"}` }],
]
/** The endpoints that a client requests during its first order and that respond with a body. */
export const endpoints = [
  'newAccount',
  'newOrder',
  'authz',
  'challenge',
  'order',
  'finalize',
  'certificate',
] as const

/** All endpoints of a first order. */
export const allEndpoints = ['directory', 'newNonce', ...endpoints] as const
/** Whether a failure of this endpoint concerns a host. In a first order, all requests before newOrder register the account. */
export const concernsHost = (on: (typeof allEndpoints)[number]) =>
  !['directory', 'newNonce', 'newAccount'].includes(on)
/** The endpoints of resources that the CA has named: a 404 may be the lag of a replica. */
export const namedResources: readonly string[] = ['authz', 'challenge', 'order', 'finalize', 'certificate']

/** 10 minutes, a day and 30 years. */
export const retryAfters = [600, 86_400, 946_080_000] as const

/** Returns the responses of an endpoint after which an order fails. */
export const unusableAnswers = (on: (typeof endpoints)[number]) =>
  // The client ignores the body of a challenge's response; separate tests cover what the order does then.
  on === 'challenge' ? [errorPage] : [errorPage, ...useless, ...nonsense]

/** The responses to a challenge after which an order waits for the outcome. */
export const ignoredAnswers = [...useless, ...nonsense]

/** Chains that do not belong to the order: the description, the PEM, and the expected error. */
export const foreignChains: [string, () => Promise<{ chain: string }>, RegExp][] = [
  ['for another host', () => makeBundle({ host: 'b.example' }), /b\.example|host|name/],
  ['for another key', () => makeBundle({ host: 'a.example' }), /key/],
  ['empty', async () => ({ chain: '' }), /./],
  ['plain text', async () => ({ chain: 'no certificate\n' }), /./],
  [
    '1 MB long',
    async () => ({ chain: (await makeBundle({ host: 'a.example' })).chain.repeat(1_600) }),
    /key|MB|large|bytes/,
  ],
]

/** Starts one CA for all tests of a file, whose clock is never reset; each test has its own store. */
export function useSharedCa() {
  const managers = new Managers()
  beforeAll(() => managers.open())
  beforeEach(() => {
    managers.store = new MemoryStore()
  })
  afterAll(() => managers.close())

  /** Sets a fault that ends with the test. */
  function fault(fault: Fault) {
    const active = managers.ca.fault({ times: Number.POSITIVE_INFINITY, ...fault })
    onTestFinished(() => active.remove())
    return active
  }

  /** Starts a machine that closes with the test. */
  async function machine(options: Parameters<typeof managers.machine>[0] = {}) {
    const started = await managers.machine(options)
    onTestFinished(() => started.close().catch(() => undefined))
    return started
  }

  /**
   * Expects an attempt to reject with a typed error and to store only a failure record, and the next to succeed. Without
   * a response of the CA about the host, no record is stored: the cause may be this machine alone.
   */
  async function fails(
    faults: readonly Fault[],
    { isAnswered = faults.every(({ on }) => concernsHost(on as (typeof allEndpoints)[number])) } = {},
  ): Promise<IssuanceError> {
    const { manager, events } = await machine({ clock: impatient(managers.clock) })
    const active = faults.map(fault)
    const error: unknown = await manager.getCertificate('a.example').catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(IssuanceError)
    expect(active.some(({ hits }) => hits > 0)).toBe(true)
    const keys = () => [...managers.store.values.keys()].sort()
    const recorded = isAnswered ? ['a.example+failure'] : []
    expect(keys().filter((key) => !key.startsWith('acme_'))).toEqual(recorded)
    expect(events.issuanceFailed).toHaveLength(1)
    expect(events.issued).toBeUndefined()
    for (const each of active) each.remove()
    managers.clock.jump(2 * day)
    expect(await manager.getCertificate('a.example')).toMatchObject({ host: 'a.example' })
    await expect.poll(keys).toEqual(['a.example', 'acme_account+key', 'acme_probe'])
    return error as IssuanceError
  }

  /** Expects an attempt to survive the fault. */
  async function survives(passing: Fault) {
    const { manager, events } = await machine({ clock: impatient(managers.clock) })
    const active = fault(passing)
    const orders = managers.ca.counts.orders
    expect(await manager.getCertificate('a.example')).toMatchObject({ host: 'a.example' })
    expect(active.hits).toBeGreaterThan(0)
    expect(managers.ca.counts.orders - orders).toBe(1)
    expect(events.issuanceFailed).toBeUndefined()
  }

  /** Expects an attempt to fail with the CA's reason and the time of the next attempt. */
  async function explains(lasting: Fault, reason: RegExp) {
    const { manager } = await machine({ clock: impatient(managers.clock) })
    fault(lasting)
    const error: unknown = await manager.getCertificate('a.example').catch((thrown: unknown) => thrown)
    expect(error).toMatchObject({
      code: 'ERR_ISSUANCE_FAILED',
      message: expect.stringMatching(reason),
      retryAt: expect.any(Date),
    })
    expect(managers.store.values.has('a.example')).toBe(false)
  }

  /** Expects an attempt that hangs to fail after 5 minutes; `hasBegun` returns whether it hangs. */
  async function endsAfter5Minutes(hasBegun: () => boolean, { isAnswered = true } = {}) {
    const { manager, events } = await machine()
    const attempt = manager.getCertificate('a.example').catch((reason: unknown) => reason)
    await expect.poll(hasBegun).toBe(true)
    managers.clock.jump(300_000)
    expect(await attempt).toBeInstanceOf(Error)
    await expect.poll(() => events.issuanceFailed).toHaveLength(1)
    await expect.poll(() => managers.store.values.has('a.example+token')).toBe(false)
    expect(managers.store.values.has('a.example+failure')).toBe(isAnswered)
    expect(managers.store.values.has('a.example')).toBe(false)
  }

  /** Expects the same under settings of the CA with which an attempt never finishes. */
  async function neverEnds(
    delays: { issuanceDelayMs?: number; validationDelayMs?: number },
    hasBegun: () => boolean,
  ) {
    Object.assign(managers.ca, delays)
    onTestFinished(() => void Object.assign(managers.ca, { issuanceDelayMs: 0, validationDelayMs: 0 }))
    await endsAfter5Minutes(hasBegun)
  }

  return { managers, fault, machine, fails, survives, explains, endsAfter5Minutes, neverEnds }
}
