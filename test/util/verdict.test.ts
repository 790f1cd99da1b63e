import { describe, expect, test } from 'vitest'
import {
  AccountRefusedError,
  CacheKeyError,
  ChallengeRateLimitError,
  ClosedError,
  DeadlineError,
  HostError,
  type HostErrorCode,
  IssuanceError,
  type IssuanceErrorCode,
  LockLostError,
  NoCommonChallengeError,
  NoResponseError,
  ProcessFailureError,
  StoreError,
  type StoreErrorCode,
  WrongClockError,
} from '../../src/util/errors.js'
import { type Verdict, verdictOf } from '../../src/util/verdict.js'

/** Blame, scope, and whether the error is transient. */
type Row = readonly [Verdict['blame'], Verdict['scope'], boolean]

/** Returns the verdict; `isTransient` is false where it is absent. */
const judge = (error: Error) => {
  const { blame, scope, notBefore, refusal, isTransient = false } = verdictOf(error)
  return { blame, scope, notBefore, refusal, isTransient }
}
const isRateLimited = (error: Error) => verdictOf(error).isRateLimited ?? false

const expected = ([blame, scope, isTransient]: Row) => ({ blame, scope, isTransient })

/** The CA's answer with a problem of RFC 8555. */
const refused = (name: string, { status, retryAt }: { status?: number | undefined; retryAt?: Date } = {}) =>
  new IssuanceError('ERR_ISSUANCE_FAILED', 'no', {
    problem: { type: `urn:ietf:params:acme:error:${name}`, ...(status !== undefined && { status }) },
    retryAt,
  })

// All of RFC 8555 section 6.7.
const problems: Record<string, Row> = {
  accountDoesNotExist: ['ca', 'host', false],
  alreadyRevoked: ['ca', 'host', false],
  badCSR: ['ca', 'host', false],
  badNonce: ['ca', 'host', false],
  badPublicKey: ['ca', 'host', false],
  badRevocationReason: ['ca', 'host', false],
  badSignatureAlgorithm: ['ca', 'host', false],
  caa: ['host', 'host', false],
  compound: ['ca', 'host', false],
  connection: ['host', 'host', false],
  dns: ['host', 'host', false],
  externalAccountRequired: ['ca', 'host', false],
  incorrectResponse: ['host', 'host', false],
  invalidContact: ['ca', 'host', false],
  malformed: ['ca', 'host', false],
  orderNotReady: ['ca', 'host', false],
  rateLimited: ['ca', 'host', false],
  rejectedIdentifier: ['host', 'host', false],
  serverInternal: ['ca', 'host', false],
  tls: ['host', 'host', false],
  unauthorized: ['host', 'host', false],
  unsupportedContact: ['ca', 'host', false],
  unsupportedIdentifier: ['host', 'host', false],
  userActionRequired: ['ca', 'host', false],
}

test.each(Object.entries(problems))('the problem %s with status 400: %j', (name, row) => {
  expect(judge(refused(name, { status: 400 }))).toEqual(expected(row))
})

describe('a problem is transient by its status, whatever its type', () => {
  test.each([
    [200, false],
    [403, false],
    [429, true],
    [499, false],
    [500, true],
    [503, true],
    [undefined, true],
  ])('status %s: %s', (status, isTransient) => {
    for (const name of ['malformed', 'rateLimited', 'dns', 'ofTheCa']) {
      const [blame, scope] = problems[name] ?? ['ca', 'host']
      expect(judge(refused(name, { status }))).toEqual({ blame, scope, isTransient })
    }
  })
})

test.each([
  ['no problem', undefined],
  ['the type about:blank', 'about:blank'],
  ['a type that only ends with the same letters', 'urn:ietf:params:acme:error:mydns'],
  ['a type that only begins with the same letters', 'urn:ietf:params:acme:error:dnsInternal'],
])('an issuance error with %s is blamed on the CA, for one host', (_, type) => {
  const problem = type === undefined ? undefined : { type, status: 503 }
  const error = new IssuanceError('ERR_ISSUANCE_FAILED', 'no', { problem })
  expect(judge(error)).toEqual(expected(['ca', 'host', true]))
})

const issuanceCodes: Record<IssuanceErrorCode, Row> = {
  ERR_ISSUANCE_FAILED: ['ca', 'host', true],
  ERR_ISSUANCE_POSTPONED: ['ca', 'host', false],
  ERR_ACME_PROFILE: ['caller', 'account', false],
}
test.each(Object.entries(issuanceCodes))('%s without a problem: %j', (code, row) => {
  expect(judge(new IssuanceError(code as IssuanceErrorCode, 'no'))).toEqual(expected(row))
})

test('what never reached the CA, and a refused account, concern this process alone', () => {
  expect(judge(new WrongClockError('set the clock right'))).toEqual(expected(['clock', 'account', false]))
  expect(judge(new NoResponseError('no answer'))).toEqual(expected(['process', 'account', true]))
  expect(judge(new NoCommonChallengeError('no'))).toEqual(expected(['process', 'host', false]))
  expect(judge(new ProcessFailureError('EMFILE'))).toEqual(expected(['process', 'account', true]))
  const problem = { type: 'urn:ietf:params:acme:error:unauthorized', status: 403 }
  expect(judge(new AccountRefusedError('no', { problem }))).toEqual(expected(['process', 'account', false]))
})

test('the time of the next attempt comes from the issuance error’s retryAt', () => {
  const retryAt = new Date('2027-01-01T00:00:00Z')
  for (const error of [
    refused('rateLimited', { status: 429, retryAt }),
    new IssuanceError('ERR_ISSUANCE_POSTPONED', 'no', { retryAt }),
    new IssuanceError('ERR_ACME_PROFILE', 'no', { retryAt }),
  ])
    expect(judge(error).notBefore).toBe(retryAt.getTime())
  expect(judge(new IssuanceError('ERR_ISSUANCE_FAILED', 'no')).notBefore).toBeUndefined()
})

const storeCodes: Record<StoreErrorCode, Verdict['scope']> = {
  ERR_STORE_CREDENTIALS: 'store',
  ERR_STORE_PERMISSION: 'store',
  ERR_STORE_CONTAINER: 'store',
  ERR_STORE_UNREACHABLE: 'store',
  ERR_STORE_TIMEOUT: 'store',
  ERR_STORE_PUBLIC: 'store',
  ERR_STORE_DECRYPT: 'host',
  ERR_STORE_ENTRY: 'host',
  ERR_STORE_FAILED: 'store',
}
test.each(Object.entries(storeCodes))('%s without a status is about the %s', (code, scope) => {
  expect(judge(new StoreError(code as StoreErrorCode, 'no'))).toEqual(expected(['store', scope, false]))
})

test.each([
  [400, 'host'],
  [404, 'host'],
  [408, 'store'],
  [409, 'host'],
  [412, 'host'],
  [429, 'store'],
  [499, 'host'],
  [500, 'store'],
  [503, 'store'],
] as const)('ERR_STORE_FAILED with status %i is about the %s', (statusCode, scope) => {
  const error = new StoreError('ERR_STORE_FAILED', 'no', { statusCode })
  expect(judge(error)).toEqual(expected(['store', scope, false]))
})

test('the status does not change the scope of the other store errors', () => {
  const missing = new StoreError('ERR_STORE_CONTAINER', 'no', { statusCode: 404 })
  expect(judge(missing)).toEqual(expected(['store', 'store', false]))
  const entry = new StoreError('ERR_STORE_ENTRY', 'no', { statusCode: 503 })
  expect(judge(entry)).toEqual(expected(['store', 'host', false]))
})

const hostCodes: Record<HostErrorCode, Verdict> = {
  ERR_HOST_NAME: { blame: 'caller', scope: 'host', refusal: 'name', isTransient: false },
  ERR_HOST_POLICY: { blame: 'policy', scope: 'host', refusal: 'policy', isTransient: false },
  ERR_HOST_POLICY_FAILED: { blame: 'policy', scope: 'host', isTransient: false },
}
test.each(Object.entries(hostCodes))('%s: %j', (code, verdict) => {
  expect(judge(new HostError(code as HostErrorCode, 'a.example', 'no'))).toEqual(verdict)
})

test('a challenge answer that was requested too often is refused', () => {
  expect(judge(new ChallengeRateLimitError())).toEqual({
    ...expected(['caller', 'host', false]),
    refusal: 'rate',
  })
})

test.each<[string, Error, Row]>([
  ['a lost lock', new LockLostError('lost'), ['process', 'host', false]],
  ['a closed manager', new ClosedError('closed'), ['caller', 'store', false]],
  ['a wait that timed out', new DeadlineError('late'), ['process', 'store', false]],
  ['an invalid cache key', new CacheKeyError('no'), ['process', 'store', false]],
  ['any other error', new Error('a bug'), ['process', 'store', false]],
  ['a TypeError', new TypeError('a bug'), ['process', 'store', false]],
])('%s: %j', (_, error, row) => {
  expect(judge(error)).toEqual(expected(row))
})

test('only the problem rateLimited limits the orders of the account', () => {
  for (const name of Object.keys(problems))
    expect([name, isRateLimited(refused(name))]).toEqual([name, name === 'rateLimited'])
  expect(isRateLimited(refused('malformed', { status: 429 }))).toBe(false)
  expect(isRateLimited(new IssuanceError('ERR_ISSUANCE_FAILED', 'no'))).toBe(false)
  expect(isRateLimited(new ChallengeRateLimitError())).toBe(false)
})

test('only unknown errors of this process are unclassified', () => {
  for (const error of [
    new Error('EMFILE'),
    new TypeError('no'),
    new DeadlineError('late'),
    new CacheKeyError('no'),
  ])
    expect([error.name, verdictOf(error).isUnclassified]).toEqual([error.name, true])
  for (const error of [
    new IssuanceError('ERR_ISSUANCE_FAILED', 'no'),
    new StoreError('ERR_STORE_FAILED', 'no'),
    new LockLostError('lost'),
    new ClosedError('closed'),
    new HostError('ERR_HOST_POLICY_FAILED', 'a.example', 'no'),
    new ChallengeRateLimitError(),
  ])
    expect([error.name, verdictOf(error).isUnclassified]).toEqual([error.name, undefined])
})

test('only a lost lock interrupts work that others may have seen', () => {
  expect(verdictOf(new LockLostError('lost')).isInterrupted).toBe(true)
  expect(verdictOf(new ClosedError('closed')).isInterrupted).toBeUndefined()
  expect(verdictOf(new Error('no')).isInterrupted).toBeUndefined()
})
