import { createServer } from 'node:http'
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest'
import { AcmeAccount } from '../../src/acme/account.js'
import type { CertificateRequest, Run, Solver } from '../../src/acme/issuer.js'
import { exportKey } from '../../src/certificates/private-key.js'
import { TestCa } from '../../src/testing/index.js'
import type { Clock } from '../../src/util/clock.js'
import { AccountRefusedError, ProcessFailureError } from '../../src/util/errors.js'
import { makeKey } from '../support/certificates.js'
import { StillClock } from '../support/still-clock.js'
import { listen } from '../support/tls.js'
import { FakeCa, type FakeReply, keyReader, problem, request, run } from './fake-ca.js'

const start = Date.now()
let ca: TestCa
let account: AcmeAccount
/** The pauses between polls, in ms. The clock stands still, and each pause ends at once. */
let pauses: number[]
let answer: Uint8Array | undefined
let close: () => Promise<void>

beforeEach(async () => {
  pauses = []
  answer = undefined
  const http = createServer((_, res) => res.end(answer))
  ca = await TestCa.start({ httpPort: await listen(http), now: () => start })
  const clock: Clock = {
    now: () => start,
    after(ms, fn, options) {
      if (!options?.keepAlive) return () => {}
      pauses.push(ms)
      const pause = setTimeout(fn, 0)
      return () => clearTimeout(pause)
    },
  }
  const { directoryUrl, endpointCertificate } = ca
  const settings = { termsOfServiceAgreed: true as const, directoryUrl, ca: endpointCertificate }
  const key = exportKey(makeKey())
  account = new AcmeAccount(settings, async () => key, clock)
  close = async () => {
    account.close()
    http.closeAllConnections()
    http.close()
    await ca.close()
  }
})
afterEach(() => close())

const http01: Solver = {
  type: 'http-01',
  async present({ keyAuthorization }) {
    answer = Buffer.from(keyAuthorization)
    return async () => {}
  },
}
const order = (changes: Partial<CertificateRequest> = {}, runChanges: Partial<Run> = {}) =>
  account.issue(request({ solvers: [http01], ...changes }), run(runChanges))

test('an authorization and an order are polled at the interval that Retry-After sets', async () => {
  ca.retryAfter = 7
  ca.validationDelayMs = ca.issuanceDelayMs = 20
  expect(await order()).toMatch(/^-----BEGIN CERTIFICATE-----/)
  expect(pauses.length).toBeGreaterThanOrEqual(2)
  expect(new Set(pauses)).toEqual(new Set([7_000]))
})

test.each([
  ['after 50 ms without Retry-After, then at growing intervals up to 5 s', undefined, 50, 5_000],
  ['every 10 minutes with that Retry-After', 600, 600_000, 600_000],
  ['after 50 ms with a Retry-After of a day, then at growing intervals up to 30 s', 86_400, 50, 30_000],
  ['after 50 ms with a Retry-After of 30 years, then at growing intervals up to 30 s', 946e6, 50, 30_000],
])('an authorization that stays pending is polled %s', async (_, retryAfter, first, last) => {
  ca.retryAfter = retryAfter
  ca.validationDelayMs = 2 ** 31 - 1
  const controller = new AbortController()
  const ended = order({}, { signal: controller.signal }).catch((reason: unknown) => reason)
  await expect.poll(() => pauses.length).toBeGreaterThan(11)
  controller.abort(new Error('enough'))
  expect(await ended).toMatchObject({ message: 'enough' })
  expect(pauses[0]).toBe(first)
  expect(Math.max(...pauses)).toBe(last)
})

test('a lost lock ends an order before it is placed again without `replaces`', async () => {
  const predecessor = Buffer.from(`${exportKey(makeKey())}${await order()}`)
  const fault = ca.fault({ on: 'newOrder', type: 'malformed' })
  const proceed = () => {
    if (fault.hits > 0) throw new Error('the lock is lost')
  }
  await expect(order({ predecessor }, { proceed })).rejects.toThrow('the lock is lost')
  expect(fault.hits).toBe(1)
  expect(ca.counts.orders).toBe(1)
})

test('a CA that does not know the account gets no second order without `replaces`', async () => {
  const predecessor = Buffer.from(`${exportKey(makeKey())}${await order()}`)
  const fault = ca.fault({ on: 'newOrder', type: 'accountDoesNotExist' })
  await expect(order({ predecessor })).rejects.toMatchObject({
    problem: { type: 'urn:ietf:params:acme:error:accountDoesNotExist' },
  })
  expect(fault.hits).toBe(1)
  expect(ca.counts.orders).toBe(1)
})

test('a lost lock ends an order before it is placed', async () => {
  const proceed = () => {
    throw new Error('the lock is lost')
  }
  await expect(order({}, { proceed })).rejects.toThrow('the lock is lost')
  expect(ca.counts.orders).toBe(0)
})

test('a CA that requires an external account receives its key identifier and MAC', async () => {
  const hmacKey = Buffer.alloc(32, 7).toString('base64url')
  await using bound = await TestCa.start({ externalAccounts: { 'kid-1': hmacKey } })
  const { directoryUrl, endpointCertificate } = bound
  const settings = { termsOfServiceAgreed: true as const, directoryUrl, ca: endpointCertificate }
  const open = (binding: object) =>
    new AcmeAccount({ ...settings, ...binding }, async () => exportKey(makeKey()), new StillClock())
  const place = async (client: AcmeAccount) => {
    const ended = new Error('the order was placed')
    const solver: Solver = { type: 'http-01', present: () => Promise.reject(ended) }
    return client
      .issue(request({ solvers: [solver] }), run())
      .catch((reason: unknown) => reason)
      .finally(() => client.close())
  }
  expect(await place(open({}))).toMatchObject({
    problem: { type: expect.stringMatching(/:externalAccountRequired$/) },
  })
  const binding = { externalAccountBinding: { kid: 'kid-1', hmacKey } }
  expect(await place(open(binding))).toMatchObject({ message: 'the order was placed' })
  expect(bound.counts.accounts).toBe(1)
})

test('the registration of the account, including the read of its key, fails after 60 s, and is tried again', async () => {
  const clock = new StillClock()
  const { directoryUrl, endpointCertificate } = ca
  const settings = { termsOfServiceAgreed: true as const, directoryUrl, ca: endpointCertificate }
  const readKey = vi.fn<() => Promise<string>>(() => new Promise(() => {}))
  const slow = new AcmeAccount(settings, readKey, clock)
  onTestFinished(() => slow.close())
  const failed = vi.fn()
  const first = slow.issue(request({ solvers: [http01] }), run()).catch(failed)
  clock.advance(59_999)
  for (let turn = 0; turn < 3; turn++) await new Promise(setImmediate)
  expect(failed).not.toHaveBeenCalled()
  clock.advance(1)
  await first
  expect(failed).toHaveBeenCalledWith(expect.any(ProcessFailureError))
  readKey.mockResolvedValue(exportKey(makeKey()))
  expect(await slow.issue(request({ solvers: [http01] }), run())).toMatch(/^-----BEGIN CERTIFICATE-----/)
  expect(readKey).toHaveBeenCalledTimes(2)
})

test('the certificate is requested with the preferred chain', async () => {
  const { Client } = await import('acme-client')
  const getCertificate = vi.spyOn(Client.prototype, 'getCertificate')
  onTestFinished(() => getCertificate.mockRestore())
  const key = exportKey(makeKey())
  const { directoryUrl, endpointCertificate } = ca
  const settings = { termsOfServiceAgreed: true as const, directoryUrl, ca: endpointCertificate }
  const clock: Clock = {
    now: () => start,
    after(_ms, fn, options) {
      if (options?.keepAlive) setImmediate(fn)
      return () => {}
    },
  }
  const preferring = new AcmeAccount({ ...settings, preferredChain: 'ISRG Root X1' }, async () => key, clock)
  onTestFinished(() => preferring.close())
  await preferring.issue(request({ solvers: [http01] }), run())
  expect(getCertificate.mock.calls.map(([, chain]) => chain)).toEqual(['ISRG Root X1'])
})

describe('an account that the CA refuses', () => {
  const refuse = async (resource: 'newAccount' | 'newOrder', reply: FakeReply) => {
    const fake = await FakeCa.start()
    const readKey = vi.fn(keyReader())
    const refused = fake.account({}, new StillClock(), readKey)
    fake.always[resource] = reply
    const error: unknown = await refused.issue(request(), run()).catch((thrown: unknown) => thrown)
    return { fake, readKey, refused, error }
  }

  test.each([
    ['newAccount', 'unauthorized', 403, /If the account was deactivated, delete its key from the store/],
    ['newAccount', 'externalAccountRequired', 403, /Set acme\.externalAccountBinding to the values/],
    ['newAccount', 'invalidContact', 400, /Correct acme\.email\.$/],
    ['newAccount', 'unsupportedContact', 400, /Correct acme\.email\.$/],
    ['newOrder', 'userActionRequired', 403, /the CA says userActionRequired$/],
    ['newOrder', 'accountDoesNotExist', 400, /the CA says accountDoesNotExist$/],
    ['newOrder', 'unauthorized', 401, /delete its key from the store/],
  ] as const)(
    'by answering %s with %s: the error says so, and the next order reads the key again',
    async (resource, type, status, message) => {
      const reply = { ...problem(type, status), headers: { 'retry-after': '60' } }
      const { fake, readKey, refused, error } = await refuse(resource, reply)
      expect(error).toBeInstanceOf(AccountRefusedError)
      expect(error).toMatchObject({
        name: 'IssuanceError',
        message: expect.stringMatching(message),
        problem: { type: `urn:ietf:params:acme:error:${type}`, status },
        retryAt: expect.any(Date),
      })
      delete fake.always[resource]
      expect(await refused.issue(request(), run())).toBe(fake.certificate)
      expect(readKey).toHaveBeenCalledTimes(2)
      expect(fake.count('newAccount')).toBe(2)
    },
  )

  test.each([
    ['rateLimited', 429],
    ['malformed', 400],
    ['serverInternal', 500],
  ])('by answering newAccount with %s, which says nothing about the host', async (type, status) => {
    const reply = { ...problem(type, status), headers: { 'retry-after': '60' } }
    const { error } = await refuse('newAccount', reply)
    expect(error).toBeInstanceOf(AccountRefusedError)
    expect(error).toMatchObject({
      problem: { type: `urn:ietf:params:acme:error:${type}`, status },
      retryAt: expect.any(Date),
    })
  })

  test('by answering newAccount with a page', async () => {
    const { error } = await refuse('newAccount', { body: '<html>Maintenance</html>' })
    expect(error).toBeInstanceOf(AccountRefusedError)
  })

  test.each([
    ['rateLimited', 429],
    ['rejectedIdentifier', 400],
    ['serverInternal', 500],
  ] as const)('is not one whose order is refused with %s', async (type, status) => {
    const { fake, refused, error } = await refuse('newOrder', problem(type, status))
    expect(error).not.toBeInstanceOf(AccountRefusedError)
    delete fake.always.newOrder
    await refused.issue(request(), run())
    expect(fake.count('newAccount')).toBe(1)
  })
})
