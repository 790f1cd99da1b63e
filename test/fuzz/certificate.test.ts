import { createPrivateKey, type KeyObject, sign, verify, X509Certificate } from 'node:crypto'
import fc from 'fast-check'
import { beforeAll, expect, test } from 'vitest'
import { checkBundle, decodeBundle, encodeBundle } from '../../src/certificates/certificate-bundle.js'
import { clockSkewMs } from '../../src/util/clock.js'
import { makeBundle, makeKey } from '../support/certificates.js'
import { damaged, property } from './support.js'

const made = await makeBundle()
const rsa = await makeBundle({ keyType: 'rsa' })
const elsewhere = await makeBundle({ host: 'other.example' })
/** Another private key, which says that it belongs to the certificate: SEC1 has the public key beside it. */
const forged = forge(made.key, makeKey())
function forge(theirs: KeyObject, ours: KeyObject): KeyObject {
  const secret = (key: KeyObject) => Buffer.from(key.export({ format: 'jwk' }).d as string, 'base64url')
  const der = theirs.export({ format: 'der', type: 'sec1' })
  secret(ours).copy(der, der.indexOf(secret(theirs)))
  return createPrivateKey({ key: der, format: 'der', type: 'sec1' })
}
const now = Date.now()
const faults = [
  'no private key',
  'no certificate',
  'unreadable',
  'too large',
  'another host',
  'key mismatch',
  'not yet valid',
  'expired',
]

const tokens = [
  '-----BEGIN EC PRIVATE KEY-----\n',
  '-----END EC PRIVATE KEY-----\n',
  '-----BEGIN PRIVATE KEY-----\n',
  '-----BEGIN CERTIFICATE-----\n',
  '-----END CERTIFICATE-----\n',
  '-----',
  '\r\n',
  '\n\n',
  '====',
  rsa.chain,
  makeKey().export({ format: 'pem', type: 'sec1' }).toString(),
]

beforeAll(() => expect(checkBundle(made.data, 'example.com', now).fault).toBeUndefined())

property(
  'whatever the bytes, they are a fault of the closed set, or a certificate for the host, valid now, with its key',
  500,
  fc.oneof(damaged(made.data, tokens), damaged(rsa.data, tokens), fc.uint8Array()),
  (data) => {
    const checked = checkBundle(data, 'example.com', now)
    if (checked.fault !== undefined) return expect(faults).toContain(checked.fault)
    const { key, chain } = checked.bundle
    expect(decodeBundle(Buffer.from(key + chain))).toEqual({ key, chain })
    const leaf = new X509Certificate(chain)
    expect(leaf.checkHost('example.com', { subject: 'never' })).toBeDefined()
    expect(leaf.serialNumber).toBe(checked.serialNumber)
    expect([Date.parse(leaf.validFrom), Date.parse(leaf.validTo)]).toEqual([
      checked.notBefore,
      checked.notAfter,
    ])
    expect(checked.notBefore).toBeLessThanOrEqual(now + clockSkewMs)
    expect(checked.notAfter).toBeGreaterThan(now)
    const signed = sign('sha256', data, createPrivateKey(key))
    expect(verify('sha256', data, leaf.publicKey, signed)).toBe(true)
  },
)

property(
  'a certificate is good for its own host, with its own key, and for no other',
  300,
  fc.tuple(
    fc.constantFrom(made, rsa, elsewhere),
    fc.constantFrom(made.key, rsa.key, elsewhere.key, forged),
    fc.constantFrom('example.com', 'other.example', 'www.example.com', 'com', 'example.com.other.example'),
    fc.boolean(),
  ),
  ([certificate, key, host, keyFirst]) => {
    const pem = key.export({ format: 'pem', type: key.asymmetricKeyType === 'rsa' ? 'pkcs1' : 'sec1' })
    const data = Buffer.from(keyFirst ? `${pem}${certificate.chain}` : `${certificate.chain}${pem}`)
    const ownHost = certificate === elsewhere ? 'other.example' : 'example.com'
    const mismatch = key === certificate.key ? undefined : 'key mismatch'
    expect(checkBundle(data, host, now).fault).toBe(host === ownHost ? mismatch : 'another host')
  },
)

property(
  'what is decoded from anything is in the form that decodes to itself',
  2_000,
  fc.oneof(
    damaged(made.data, tokens),
    fc.array(fc.constantFrom(...tokens, 'AAAA', 'MII=', ' ')).map((parts) => Buffer.from(parts.join(''))),
  ),
  (data) => {
    const bundle = decodeBundle(data)
    if ('fault' in bundle) return expect(faults).toContain(bundle.fault)
    for (const part of [bundle.key, bundle.chain]) {
      expect(part).toMatch(/^(-----BEGIN [A-Z ]+-----\n([A-Za-z0-9+/=]{1,64}\n)*-----END [A-Z ]+-----\n)+$/)
    }
    expect(decodeBundle(Buffer.from(bundle.key + bundle.chain))).toEqual(bundle)
  },
)

const lineEnd = fc.constantFrom('\n', '\r\n')
/** What may stand between blocks: no dashes. */
const between = fc.oneof(
  fc.constant(''),
  fc.string({ unit: 'grapheme' }).map((text) => `${text.replaceAll('-', '')}\n`),
)
const rewritten = fc.record({
  key: fc.constantFrom(...(['sec1', 'pkcs8'] as const)),
  certificates: fc.array(fc.constantFrom(made.chain, rsa.chain), { minLength: 1, maxLength: 4 }),
  keyFirst: fc.boolean(),
  lineEnd,
  width: fc.integer({ min: 1, max: 200 }),
  between: fc.array(between, { minLength: 6, maxLength: 6 }),
})
property('line ends, widths, order and text between the blocks change nothing', 300, rewritten, (how) => {
  const key = made.key.export({ format: 'pem', type: how.key }).toString()
  const blocks = how.keyFirst ? [key, ...how.certificates] : [...how.certificates, key]
  const text = blocks
    .map((block, index) => {
      const [, begin, body, end] = /^(-.*-)\n([^-]*)(-.*-)\n$/.exec(block) as unknown as string[]
      const lines = (body as string)
        .replaceAll('\n', '')
        .replace(new RegExp(`.{1,${how.width}}`, 'g'), '$&\n')
      return `${how.between[index]}${begin}\n${lines}${end}\n`
    })
    .join('')
  const data = Buffer.from(text.replaceAll('\n', how.lineEnd))
  expect(decodeBundle(data)).toEqual({ key, chain: how.certificates.join('') })
})

property(
  'a chain is written with its blocks alone',
  100,
  fc.tuple(fc.array(fc.constantFrom(made.chain, rsa.chain), { minLength: 1, maxLength: 4 }), between),
  ([chain, text]) => {
    const clean = encodeBundle(made.key, chain.join(''))
    expect(encodeBundle(made.key, `${text}${chain.join(text)}${text}`)).toEqual(clean)
  },
)

test('decoding takes time in proportion to the length: a bundle of openings only', () => {
  // 200 KiB of them: quadratic, it would take minutes.
  const opening = '-----BEGIN CERTIFICATE-----\n'
  for (const text of [opening.repeat(7_000), `${opening}${'A\n'.repeat(100_000)}`]) {
    expect(decodeBundle(Buffer.from(text))).toEqual({ fault: 'no private key' })
  }
})
