import { createPrivateKey, type KeyObject, sign, verify, X509Certificate } from 'node:crypto'
import fc from 'fast-check'
import { beforeAll, expect, test } from 'vitest'
import { checkBundle, decodeBundle, encodeBundle } from '../../src/certificates/certificate-bundle.js'
import type { KeyType } from '../../src/certificates/certificate-id.js'
import { clockSkewMs } from '../../src/util/clock.js'
import { ecdsa, now, other, rsa, spareKey } from './fixtures.js'
import { damaged, property } from './support.js'

/**
 * Another private key that claims to belong to the certificate: SEC1 contains the public key, which is not that of the
 * private key here.
 */
const forged = forge(ecdsa.key, spareKey)
function forge(publicKeyOf: KeyObject, privateKey: KeyObject): KeyObject {
  const secret = (key: KeyObject) => Buffer.from(key.export({ format: 'jwk' }).d as string, 'base64url')
  const der = publicKeyOf.export({ format: 'der', type: 'sec1' })
  secret(privateKey).copy(der, der.indexOf(secret(publicKeyOf)))
  return createPrivateKey({ key: der, format: 'der', type: 'sec1' })
}
const faults = [
  'no private key',
  'no certificate',
  'unreadable',
  'too large',
  'another host',
  'another key type',
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
  'Comment: ours\n',
  'Proc-Type: 4,ENCRYPTED\n',
  '\r\n',
  '\n\n',
  '====',
  rsa.chain,
  spareKey.export({ format: 'pem', type: 'sec1' }).toString(),
]

const id = (name: string, keyType: KeyType = 'ecdsa-p256') => ({ name, keyType })

beforeAll(() => expect(checkBundle(ecdsa.data, id('example.com'), now).fault).toBeUndefined())

property(
  'any bytes decode to a known fault, or to a certificate for the host that is valid now, with its key',
  500,
  fc.tuple(
    fc.oneof(damaged(ecdsa.data, tokens), damaged(rsa.data, tokens), fc.uint8Array()),
    fc.constantFrom<KeyType>('ecdsa-p256', 'rsa-2048'),
  ),
  ([data, keyType]) => {
    const checked = checkBundle(data, id('example.com', keyType), now)
    if (checked.fault !== undefined) return expect(faults).toContain(checked.fault)
    const { key, chain } = checked.bundle
    expect(decodeBundle(Buffer.from(key + chain))).toEqual({ key, chain })
    const leaf = new X509Certificate(chain)
    expect(leaf.checkHost('example.com', { subject: 'never' })).toBeDefined()
    expect(leaf.publicKey.asymmetricKeyType).toBe(keyType === 'rsa-2048' ? 'rsa' : 'ec')
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
  'a certificate is accepted for its own host with its own key, and for no other',
  300,
  fc.tuple(
    fc.constantFrom(ecdsa, rsa, other),
    fc.constantFrom(ecdsa.key, rsa.key, other.key, forged),
    fc.constantFrom('example.com', 'other.example', 'www.example.com', 'com', 'example.com.other.example'),
    fc.boolean(),
  ),
  ([certificate, key, host, keyFirst]) => {
    const pem = key.export({ format: 'pem', type: key.asymmetricKeyType === 'rsa' ? 'pkcs1' : 'sec1' })
    const data = Buffer.from(keyFirst ? `${pem}${certificate.chain}` : `${certificate.chain}${pem}`)
    const ownHost = certificate === other ? 'other.example' : 'example.com'
    const mismatch = key === certificate.key ? undefined : 'key mismatch'
    const keyType = certificate === rsa ? 'rsa-2048' : 'ecdsa-p256'
    expect(checkBundle(data, id(host, keyType), now).fault).toBe(host === ownHost ? mismatch : 'another host')
  },
)

property(
  'decoding a decoded bundle again does not change it',
  2_000,
  fc.oneof(
    damaged(ecdsa.data, tokens),
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
/** Text between blocks has no dashes. */
const between = fc.oneof(
  fc.constant(''),
  fc.string({ unit: 'grapheme' }).map((text) => `${text.replaceAll('-', '')}\n`),
)
const rewritten = fc.record({
  key: fc.constantFrom(...(['sec1', 'pkcs8'] as const)),
  certificates: fc.array(fc.constantFrom(ecdsa.chain, rsa.chain), { minLength: 1, maxLength: 4 }),
  keyFirst: fc.boolean(),
  lineEnd,
  width: fc.integer({ min: 1, max: 200 }),
  between: fc.array(between, { minLength: 6, maxLength: 6 }),
})
property(
  'line ends, line widths, order and text between the blocks do not affect decoding',
  300,
  rewritten,
  (how) => {
    const key = ecdsa.key.export({ format: 'pem', type: how.key }).toString()
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
  },
)

property(
  'encoding a chain drops the text between its blocks',
  100,
  fc.tuple(fc.array(fc.constantFrom(ecdsa.chain, rsa.chain), { minLength: 1, maxLength: 4 }), between),
  ([chain, text]) => {
    const clean = encodeBundle(ecdsa.key, chain.join(''))
    expect(encodeBundle(ecdsa.key, `${text}${chain.join(text)}${text}`)).toEqual(clean)
  },
)

test('a bundle that consists only of BEGIN or header lines is decoded in linear time', () => {
  // 200 KiB would take minutes in quadratic time.
  const opening = '-----BEGIN CERTIFICATE-----\n'
  const headers = ['A\n', 'A: b\n', 'A', 'A:', '\n ', ' A', 'A: b\n c\n'].map(
    (line) => `${opening}${line.repeat(200_000 / line.length)}`,
  )
  for (const text of [opening.repeat(7_000), `${opening}A: `.repeat(6_000), ...headers]) {
    expect(decodeBundle(Buffer.from(text))).toEqual({ fault: 'no private key' })
  }
})
