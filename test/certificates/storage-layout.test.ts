import { expect, test } from 'vitest'
import { defaultPrefix, letsEncryptProduction, storageLayout } from '../../src/certificates/storage-layout.js'

const host = 'a.example'

/** Every key of a layout. */
function keysOf({
  certificate,
  tlsAlpn01,
  failure,
  renewal,
  http01,
  ...fixed
}: ReturnType<typeof storageLayout>) {
  return {
    certificate: certificate(host),
    tlsAlpn01: tlsAlpn01(host),
    failure: failure(host),
    renewal: renewal(host),
    http01: http01('token'),
    ...fixed,
  }
}

test('Let’s Encrypt’s production has autocert’s keys', () => {
  expect(keysOf(storageLayout(letsEncryptProduction, 'ecdsa-p256'))).toEqual({
    certificate: 'a.example',
    tlsAlpn01: 'a.example+token',
    failure: 'a.example+failure',
    renewal: 'a.example+renewal',
    http01: 'token+http-01',
    accountKey: 'acme_account+key',
    legacyAccountKey: 'acme_account.key',
  })
})

test('certificates and records of RSA and ECDSA have keys of their own; challenges and the account are shared', () => {
  const ecdsa = keysOf(storageLayout(letsEncryptProduction, 'ecdsa-p256'))
  expect(keysOf(storageLayout(letsEncryptProduction, 'rsa-2048'))).toEqual({
    ...ecdsa,
    certificate: 'a.example+rsa',
    failure: 'a.example+rsa+failure',
    renewal: 'a.example+rsa+renewal',
  })
})

test.each([
  ['https://acme-v02.api.letsencrypt.org/directory', ''],
  ['https://acme-staging-v02.api.letsencrypt.org/directory', 'acme-staging-v02.api.letsencrypt.org~'],
  ['https://ACME.example:14000/dir', 'acme.example_14000~'],
  ['https://[::1]:14000/dir', '___1__14000~'],
])('the default prefix of %s is %j', (directory, prefix) => {
  expect(defaultPrefix(directory)).toBe(prefix)
})

test('every key of another CA starts with the prefix', () => {
  const own = keysOf(storageLayout(letsEncryptProduction, 'rsa-2048'))
  for (const prefix of [undefined, 'staging~']) {
    const keys = keysOf(storageLayout('https://ca.example/directory', 'rsa-2048', prefix))
    const expected = Object.entries(own).map(([name, key]) => [name, `${prefix ?? 'ca.example~'}${key}`])
    expect(keys).toEqual(Object.fromEntries(expected))
  }
  expect(keysOf(storageLayout('https://ca.example/directory', 'rsa-2048', ''))).toEqual(own)
})

test('an illegal prefix is a CacheKeyError', () => {
  expect(() => storageLayout(letsEncryptProduction, 'rsa-2048', 'a/')).toThrow(
    expect.objectContaining({ code: 'ERR_CACHE_KEY' }),
  )
})
