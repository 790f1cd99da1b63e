import { createHash, createPrivateKey, X509Certificate } from 'node:crypto'
import * as x509 from '@peculiar/x509'
import { expect, test } from 'vitest'
import { createTlsAlpnCertificate } from '../../src/acme/tls-alpn-certificate.js'
import { decodeBundle } from '../../src/certificates/certificate-bundle.js'

const now = Date.parse('2026-11-24T00:00:00Z')

test('a tls-alpn-01 certificate is valid for a day, for the host, with the digest of the key authorization', async () => {
  const bundle = decodeBundle(await createTlsAlpnCertificate('a.example', 'token.thumbprint', now))
  if ('fault' in bundle) return expect.unreachable(bundle.fault)
  const certificate = new X509Certificate(bundle.chain)
  expect(Date.parse(certificate.validFrom)).toBe(now)
  expect(Date.parse(certificate.validTo)).toBe(now + 86_400_000)
  expect(certificate.subjectAltName).toBe('DNS:a.example')
  expect(certificate.checkPrivateKey(createPrivateKey(bundle.key))).toBe(true)
  const extension = new x509.X509Certificate(certificate.raw).getExtension('1.3.6.1.5.5.7.1.31')
  const digest = createHash('sha256').update('token.thumbprint').digest()
  // RFC 8737 section 3: critical, the digest as a DER OCTET STRING of 32 bytes.
  expect(extension?.critical).toBe(true)
  expect(Buffer.from(extension?.value ?? new ArrayBuffer())).toEqual(
    Buffer.concat([Buffer.of(4, 32), digest]),
  )
})
