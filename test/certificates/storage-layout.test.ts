import { expect, test } from 'vitest'
import { storageLayout } from '../../src/certificates/storage-layout.js'

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
