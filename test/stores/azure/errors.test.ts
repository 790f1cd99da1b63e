import { inspect } from 'node:util'
import { expect, test } from 'vitest'
import { AzureBlobCertCache, StoreError } from '../../../src/index.js'
import { toStoreError } from '../../../src/stores/azure/errors.js'
import { echoes, openEcho } from '../../support/echo.js'

const signature = 'c2VjcmV0c2lnbmF0dXJl'

test.each(echoes)('errors do not contain a SAS that the server repeats in %s', async (_name, answer) => {
  const endpoint = `${await openEcho(answer)}?sv=2021-08-06&sr=c&sig=${signature}%3D`
  const options = { endpoint, containerName: 'certs', allowAnonymousRead: true }
  const failures: unknown[] = []
  const store = await AzureBlobCertCache.connect(options).catch((thrown: unknown) => {
    failures.push(thrown)
  })
  await store
    ?.list()
    .next()
    .catch((thrown: unknown) => failures.push(thrown))
  expect(failures).toEqual([expect.any(StoreError)])
  expect(inspect(failures, { depth: null, showHidden: true })).not.toContain(signature)
})

test('the cause of an error has the service’s code, the request id and the first line of the message', () => {
  const response = { statusCode: 500, details: { errorCode: 'InternalError', requestId: 'r-1' } }
  const error = toStoreError(Object.assign(new Error('failed\nRequestId:r-1'), response), 'read', 'certs')
  const cause = { message: 'failed', code: 'InternalError', requestId: 'r-1' }
  expect(error).toMatchObject({ code: 'ERR_STORE_FAILED', statusCode: 500, cause })
})

test('the message says what failed, why, and what to do', () => {
  const response = { statusCode: 403, details: { errorCode: 'AuthorizationPermissionMismatch' } }
  const denied = toStoreError(Object.assign(new Error('denied'), response), 'read "a.example"', 'certs')
  expect(denied?.message).toMatch(
    /^cannot read "a\.example" from container "certs": Azure Blob Storage denied access \(AuthorizationPermissionMismatch, status 403\)\. Assign the role .*\.$/,
  )
  const network = Object.assign(new Error('getaddrinfo ENOTFOUND a.invalid'), { code: 'ENOTFOUND' })
  expect(toStoreError(network, 'list', 'certs')?.message).toMatch(
    /^cannot list container "certs": cannot connect to Azure Blob Storage \(getaddrinfo ENOTFOUND a\.invalid\)\. Check .*\.$/,
  )
})

test('a status 404 that names neither a blob nor a container asks for the URL of a Blob service', () => {
  const response = { statusCode: 404, details: { errorCode: 'ResourceNotFound' } }
  const error = toStoreError(Object.assign(new Error('not found'), response), 'read', 'certs')
  expect(error).toMatchObject({
    code: 'ERR_STORE_FAILED',
    message: expect.stringContaining('Check the endpoint: '),
  })
})

test('a network error adds no line, control character or secret to the message', () => {
  const text =
    'connect a\r\n\u001b[31m DefaultEndpointsProtocol=https;AccountKey=c2VjcmV0==;SharedAccessSignature=sv=1&sig=x'
  const error = toStoreError(Object.assign(new Error(text), { code: 'ECONNREFUSED' }), 'read', 'certs')
  expect(error?.message).not.toMatch(/\p{Cc}/u)
  expect(inspect(error)).not.toMatch(/c2VjcmV0|sig=x/)
})

test.each([
  ['ENOTFOUND', 'ERR_STORE_UNREACHABLE'],
  // An error without a code is not one of the network.
  [undefined, 'ERR_STORE_FAILED'],
])('an error without a status, with the code %s, is %s', (code, expected) => {
  const error = Object.assign(new Error('no response'), { code })
  expect(toStoreError(error, 'read', 'certs')).toMatchObject({ code: expected })
})

test.each([
  [
    412,
    'LeaseIdMissing',
    /another program holds a lease on the blob \(LeaseIdMissing, status 412\)\. Break the lease/,
  ],
  [409, 'BlobImmutableDueToPolicy', /an immutability policy protects the blob .* use a container without/],
  [409, 'BlobImmutableDueToLegalHold', /a legal hold protects the blob .* use a container without/],
])('the message of status %i %s says why the blob cannot be changed', (statusCode, errorCode, message) => {
  const thrown = Object.assign(new Error(errorCode), { statusCode, details: { errorCode } })
  expect(toStoreError(thrown, 'write "a.example"', 'certs')?.message).toMatch(message)
})
