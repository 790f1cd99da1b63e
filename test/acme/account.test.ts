import { createServer } from 'node:http'
import { afterEach, beforeEach, expect, onTestFinished, test, vi } from 'vitest'
import { AcmeAccount } from '../../src/acme/account.js'
import type { CertificateRequest, Run, Solver } from '../../src/acme/issuer.js'
import { exportKey } from '../../src/certificates/private-key.js'
import { TestCa } from '../../src/testing/index.js'
import type { Clock } from '../../src/util/clock.js'
import { certId } from '../support/cert-id.js'
import { makeKey } from '../support/certificates.js'
import { StillClock } from '../support/still-clock.js'
import { listen } from '../support/tls.js'

const { name } = certId('a.example')
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
const request = (): CertificateRequest => ({
  name,
  key: makeKey(),
  predecessor: undefined,
  solvers: [http01],
})
const run = (): Run => ({
  signal: new AbortController().signal,
  isLockHeld: true,
  extendDeadline: () => {},
  proceed: () => {},
  commit: () => {},
})
const order = (changes: Partial<CertificateRequest> = {}, runChanges: Partial<Run> = {}) =>
  account.issue({ ...request(), ...changes }, { ...run(), ...runChanges })

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
      .issue({ ...request(), solvers: [solver] }, run())
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
  const first = slow.issue(request(), run()).catch(failed)
  clock.advance(59_999)
  for (let turn = 0; turn < 3; turn++) await new Promise(setImmediate)
  expect(failed).not.toHaveBeenCalled()
  clock.advance(1)
  await first
  expect(failed).toHaveBeenCalledWith(expect.objectContaining({ code: 'ERR_ISSUANCE_FAILED' }))
  readKey.mockResolvedValue(exportKey(makeKey()))
  expect(await slow.issue(request(), run())).toMatch(/^-----BEGIN CERTIFICATE-----/)
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
  await preferring.issue(request(), run())
  expect(getCertificate.mock.calls.map(([, chain]) => chain)).toEqual(['ISRG Root X1'])
})
