import * as x509 from '@peculiar/x509'
import { expect, test } from 'vitest'
import { certificateId, parseWindow } from '../../src/acme/renewal-info.js'
import { encodeBundle } from '../../src/certificates/certificate-bundle.js'
import { makeBundle, makeKey } from '../support/certificates.js'

/** A bundle whose leaf has this serial number and authority key identifier, both hexadecimal. */
async function bundle(serialNumber: string, keyIdentifier: string) {
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }
  const keys = await crypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber,
    name: 'CN=example.com',
    keys,
    signingAlgorithm: algorithm,
    extensions: [new x509.AuthorityKeyIdentifierExtension(keyIdentifier)],
  })
  return encodeBundle(makeKey(), certificate.toString('pem'))
}

test.each([
  // The example of RFC 9773, section 4.1 and appendix A: a serial number whose first bit is set.
  ['87654321', '69885B6B87464041E1B37B847BA0AE2CDE01C8D4', 'aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE'],
  ['7f', '0102', 'AQI.fw'],
  ['80', '0102', 'AQI.AIA'],
  ['ff10', '0102', 'AQI.AP8Q'],
  ['0187', 'ff', '_w.AYc'],
])('certificateId encodes the key identifier and the serial number %s', async (serial, keyIdentifier, id) => {
  expect(await certificateId(await bundle(serial, keyIdentifier))).toBe(id)
})

test('certificateId returns undefined without an authority key identifier', async () => {
  expect(await certificateId((await makeBundle()).data)).toBeUndefined()
})

test('parseWindow returns start and end in milliseconds since the epoch', () => {
  const [start, end] = ['2026-01-01T00:00:00Z', '2026-01-02T00:00:00Z']
  const day = { start: Date.parse(start), end: Date.parse(end) }
  expect(parseWindow({ suggestedWindow: { start, end } })).toEqual(day)
  expect(parseWindow({ suggestedWindow: { start, end }, explanationURL: 'https://ca.example' })).toEqual(day)
})

test.each([
  undefined,
  null,
  '',
  [],
  {},
  { suggestedWindow: null },
  { suggestedWindow: { start: '2026-01-02T00:00:00Z', end: '2026-01-01T00:00:00Z' } },
  { suggestedWindow: { start: '2026-01-01T00:00:00Z', end: '2026-01-01T00:00:00Z' } },
  { suggestedWindow: { start: 'soon', end: 'later' } },
  { suggestedWindow: { start: 1, end: 2 } },
])('parseWindow returns undefined for %j', (data) => {
  expect(parseWindow(data)).toBeUndefined()
})
