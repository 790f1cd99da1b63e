import { expect, test } from 'vitest'
import { exportKey, generateKey } from '../../src/certificates/private-key.js'

test('rsa-2048 generates an RSA key of 2,048 bits, exported as PKCS#1', async () => {
  const key = await generateKey('rsa-2048')
  expect(key.asymmetricKeyDetails).toMatchObject({ modulusLength: 2_048 })
  expect(exportKey(key)).toMatch(/^-----BEGIN RSA PRIVATE KEY-----\n/)
})

test('ecdsa-p256 generates a key on the curve P-256, exported as SEC1', async () => {
  const key = await generateKey('ecdsa-p256')
  expect(key.asymmetricKeyDetails).toMatchObject({ namedCurve: 'prime256v1' })
  expect(exportKey(key)).toMatch(/^-----BEGIN EC PRIVATE KEY-----\n/)
})
