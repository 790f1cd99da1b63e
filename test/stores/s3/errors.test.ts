import { expect, test } from 'vitest'
import { toStoreError } from '../../../src/stores/s3/errors.js'

const convert = (fields: object) =>
  toStoreError(Object.assign(new Error('first line\nsecond line'), fields), 'read a.example', 'certs')

test.each([
  [{ name: 'Error', code: 'ETIMEDOUT' }, 'ERR_STORE_TIMEOUT'],
  [{ name: 'TimeoutError' }, 'ERR_STORE_TIMEOUT'],
  [{ name: 'TimeoutError', code: 'ECONNRESET' }, 'ERR_STORE_UNREACHABLE'],
  [{ name: 'Error', code: 'ENOTFOUND' }, 'ERR_STORE_UNREACHABLE'],
  [{ name: 'SyntaxError' }, 'ERR_STORE_FAILED'],
])('an error without a response, %j, is %s', (fields, code) => {
  expect(convert(fields)).toMatchObject({ code, statusCode: undefined })
})

test.each([
  'CredentialsProviderError',
  'ExpiredTokenException',
  'InvalidToken',
  'TokenRefreshRequired',
  'RequestExpired',
  'AuthorizationHeaderMalformed',
  'AccountProblem',
])('the service’s code %s is an error of the credentials', (name) => {
  expect(convert({ name, $metadata: { httpStatusCode: 400 } })).toMatchObject({
    code: 'ERR_STORE_CREDENTIALS',
  })
})

test('the cause of an error has the service’s code, the request id and the first line of the message', () => {
  const response = { name: 'InternalError', $metadata: { httpStatusCode: 500, requestId: 'r-1' } }
  const cause = { name: 'InternalError', message: 'first line', requestId: 'r-1' }
  expect(convert(response)).toMatchObject({ statusCode: 500, cause })
})
