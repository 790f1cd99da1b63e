import { X509Certificate } from 'node:crypto'
import * as x509 from '@peculiar/x509'
import { expect, test } from 'vitest'
import { selfSignedCertificate } from '../../src/testing/index.js'
import { obtain, registered, startCa } from './acme-user.js'

test('selfSignedCertificate is for DNS names and addresses, and valid from 2000 to 2099', async () => {
  const { certificate } = await selfSignedCertificate(['a.test', '10.0.0.1', '::1'])
  const leaf = new X509Certificate(certificate)
  expect(leaf.subjectAltName).toBe('DNS:a.test, IP Address:10.0.0.1, IP Address:0:0:0:0:0:0:0:1')
  expect([leaf.validFrom, leaf.validTo]).toEqual(['Jan  1 00:00:00 2000 GMT', 'Dec 31 23:59:59 2099 GMT'])
  expect(leaf.ca).toBe(false)
  const byDefault = new X509Certificate((await selfSignedCertificate()).certificate)
  expect(byDefault.subjectAltName).toBe('DNS:localhost, IP Address:127.0.0.1')
})

test('root and intermediate are valid from 2000 to 2099, and may sign certificates of the next level only', async () => {
  const [ca, other] = [await startCa(), await startCa()]
  const { pem } = await obtain(ca, await registered(ca), ['a.test'])
  const [, intermediate] = pem.match(/-----BEGIN[^-]+-----[^-]+-----END[^-]+-----/g) ?? []
  for (const [certificate, pathLength] of [
    [ca.rootCertificate, 1],
    [intermediate as string, 0],
  ] as const) {
    const { validFrom, validTo } = new X509Certificate(certificate)
    expect([validFrom, validTo]).toEqual(['Jan  1 00:00:00 2000 GMT', 'Dec 31 23:59:59 2099 GMT'])
    const parsed = new x509.X509Certificate(certificate)
    expect(parsed.getExtension(x509.BasicConstraintsExtension)).toMatchObject({ ca: true, pathLength })
  }
  const subject = ({ rootCertificate }: typeof ca) => new X509Certificate(rootCertificate).subject
  expect(subject(ca)).not.toBe(subject(other))
})
