import { expect, test } from 'vitest'
import { toStoreError } from '../../../src/stores/s3/errors.js'

const convert = (fields: object) =>
  toStoreError(Object.assign(new Error('first line\nsecond line'), fields), 'read "a.example"', 'certs')

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
])('the service’s code %s is ERR_STORE_CREDENTIALS', (name) => {
  expect(convert({ name, $metadata: { httpStatusCode: 400 } })).toMatchObject({
    code: 'ERR_STORE_CREDENTIALS',
  })
})

test.each([
  [
    400,
    "Unsupported header 'x-amz-checksum-crc32' received for this API call.",
    /^If .* checksums .*WHEN_REQUIRED'\.$/,
  ],
  [
    501,
    "Header 'x-amz-checksum-algorithm' with value 'CRC32' not implemented",
    /^If .* checksums .*WHEN_REQUIRED'\.$/,
  ],
  [
    501,
    'Server side encryption specified but KMS is not configured',
    /^If .* serverSideEncryption: 'none'\.$/,
  ],
  [501, 'not implemented', /checksums .* serverSideEncryption: 'none'\.$/],
  [400, 'not valid', /^See the cause of this error/],
])('status %i with the message %j advises %s', (httpStatusCode, message, advice) => {
  const response = Object.assign(new Error(message), { name: 'Refused', $metadata: { httpStatusCode } })
  const error = toStoreError(response, 'write "a.example"', 'certs')
  expect(error?.message).toContain('cannot write "a.example" to bucket "certs": ')
  expect(error?.message.split('). ')[1]).toMatch(advice)
})

test('a time-out of the client has the advice of a time-out', () => {
  expect(convert({ name: 'TimeoutError' })?.message).toBe(
    'cannot read "a.example" from bucket "certs": timed out (TimeoutError). Check the network, and whether the service is overloaded.',
  )
})

test('the cause of an error has the service’s code, the request id and the first line of the message', () => {
  const response = { name: 'InternalError', $metadata: { httpStatusCode: 500, requestId: 'r-1' } }
  const cause = { name: 'InternalError', message: 'first line', requestId: 'r-1' }
  expect(convert(response)).toMatchObject({ statusCode: 500, cause })
})
