import { expect, test } from 'vitest'
import { defaultPrefix, letsEncryptProduction, storageLayout } from '../../src/certificates/storage-layout.js'

const directoryUrl = 'https://ca.example/directory'

test('managers with different key types share the account and the challenge answers, and nothing else', () => {
  const ecdsa = storageLayout(directoryUrl, 'ecdsa-p256', '')
  const rsa = storageLayout(directoryUrl, 'rsa-2048', '')
  expect(rsa.certificate('a.example')).toBe('a.example+rsa')
  expect(rsa.failure('a.example')).toBe('a.example+rsa+failure')
  expect(rsa.renewal('a.example')).toBe('a.example+rsa+renewal')
  expect(ecdsa.certificate('a.example')).toBe('a.example')
  expect(ecdsa.failure('a.example')).toBe('a.example+failure')
  expect(ecdsa.renewal('a.example')).toBe('a.example+renewal')
  expect(rsa.tlsAlpn01('a.example')).toBe(ecdsa.tlsAlpn01('a.example'))
  expect(rsa.http01('token')).toBe(ecdsa.http01('token'))
  expect(rsa.accountKey).toBe(ecdsa.accountKey)
  expect(rsa.legacyAccountKey).toBe(ecdsa.legacyAccountKey)
})

test.each([
  [letsEncryptProduction, ''],
  ['https://acme-staging-v02.api.letsencrypt.org/directory', 'acme-staging-v02.api.letsencrypt.org~'],
  ['https://acme.example:14000/directory', 'acme.example_14000~'],
  ['https://[2001:db8::1]:14000/directory', '_2001_db8__1__14000~'],
])('by default, the keys of the CA at %s begin with %j', (url, prefix) => {
  expect(defaultPrefix(url)).toBe(prefix)
  expect(storageLayout(url, 'ecdsa-p256').certificate('a.example')).toBe(`${prefix}a.example`)
})
