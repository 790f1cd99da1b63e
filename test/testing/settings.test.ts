import { expect, test } from 'vitest'
import { TestCa, type TestCaOptions } from '../../src/testing/index.js'
import { startCa, userOf } from './acme-user.js'

const maxDelayMs = 2 ** 31 - 1

test('a CA without options has the documented defaults', async () => {
  expect(await startCa()).toMatchObject({
    httpPort: 80,
    tlsPort: 443,
    challengeTypes: ['http-01', 'tls-alpn-01'],
    lifetimeMs: 90 * 86_400_000,
    badNonceRate: 0,
    validationDelayMs: 0,
    validationTimeoutMs: 10_000,
    issuanceDelayMs: 0,
    retryAfter: undefined,
    renewalInfo: true,
    renewalRetryAfter: 21_600,
    profiles: undefined,
  })
})

test.each<TestCaOptions>([
  { httpPort: 65_536 },
  { httpPort: 80.5 },
  { tlsPort: 0 },
  { tlsPort: 65_536 },
  { challengeTypes: ['dns-01' as never] },
  { lifetimeMs: Number.POSITIVE_INFINITY },
  { lifetimeMs: Number.NaN },
  { badNonceRate: -0.1 },
  { validationDelayMs: -1 },
  { validationDelayMs: maxDelayMs + 1 },
  { validationTimeoutMs: 0 },
  { validationTimeoutMs: maxDelayMs + 1 },
  { issuanceDelayMs: -1 },
  { issuanceDelayMs: maxDelayMs + 1 },
  { retryAfter: 1.5 },
  { renewalInfo: 'yes' as never },
  { renewalRetryAfter: -1 },
  { renewalRetryAfter: 1.5 },
  { profiles: 'shortlived' as never },
])('start rejects %o', async (options) => {
  const [name] = Object.keys(options)
  await expect(TestCa.start(options)).rejects.toThrow(new RegExp(`^TestCa\\.start: ${name} must be .*, not `))
})

test('start rejects an unknown option, and names the nearest one', async () => {
  await expect(TestCa.start({ httpport: 8080 } as TestCaOptions)).rejects.toThrow(
    new TypeError('TestCa.start: unknown option "httpport". Did you mean "httpPort"?'),
  )
})

test('start accepts the ends of the ranges', async () => {
  const lowest = {
    httpPort: 1,
    tlsPort: 1,
    lifetimeMs: 1_000,
    badNonceRate: 0,
    validationTimeoutMs: 1,
    retryAfter: 0,
    renewalRetryAfter: 0,
  }
  const highest = {
    httpPort: 65_535,
    tlsPort: 65_535,
    badNonceRate: 1,
    validationDelayMs: maxDelayMs,
    validationTimeoutMs: maxDelayMs,
    issuanceDelayMs: maxDelayMs,
  }
  expect(await startCa(lowest)).toMatchObject(lowest)
  expect(await startCa(highest)).toMatchObject(highest)
})

test('the directory names renewalInfo and profiles only if the CA offers them', async () => {
  const ca = await startCa({ renewalInfo: false, profiles: { shortlived: 'six days' } })
  const { http } = await userOf(ca)
  const directory = async () => (await http.request(ca.directoryUrl, 'get')).data
  const url = (endpoint: string) => new URL(`/${endpoint}`, ca.directoryUrl).href
  const { meta, ...endpoints } = await directory()
  const urls = { newNonce: url('newNonce'), newAccount: url('newAccount'), newOrder: url('newOrder') }
  expect(endpoints).toEqual(urls)
  expect(meta).toEqual({
    termsOfService: url('terms'),
    externalAccountRequired: false,
    profiles: { shortlived: 'six days' },
  })
  ca.renewalInfo = true
  ca.profiles = undefined
  const changed = await directory()
  expect(changed).toMatchObject({ ...urls, renewalInfo: url('renewalInfo') })
  expect(changed.meta).not.toHaveProperty('profiles')
})

test('a CA listens on the port of the options, and does not start if the port is in use', async () => {
  const { directoryUrl } = await startCa()
  const start = startCa({ port: Number(new URL(directoryUrl).port) })
  await expect(start).rejects.toMatchObject({ code: 'EADDRINUSE' })
})
