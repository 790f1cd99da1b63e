import { X509Certificate } from 'node:crypto'
import { inspect } from 'node:util'
import { beforeAll, expect, test } from 'vitest'
import { Certificate } from '../../src/certificates/certificate.js'
import { checkBundle, encodeBundle } from '../../src/certificates/certificate-bundle.js'
import type { KeyType } from '../../src/certificates/certificate-id.js'
import { makeBundle, makeKey } from '../support/certificates.js'

type Made = Awaited<ReturnType<typeof makeBundle>>
let made: Made
let rsa: Made
beforeAll(async () => {
  made = await makeBundle()
  rsa = await makeBundle({ keyType: 'rsa' })
})

const now = Date.now()
const id = (name: string, keyType: KeyType = 'ecdsa-p256') => ({ name, keyType })
const check = (data: Uint8Array, host = 'example.com', keyType?: KeyType) =>
  checkBundle(data, id(host, keyType), now)
const text = () => Buffer.from(made.data).toString()

test('encodeBundle writes autocert’s form: SEC1 key, chain, LF, 64 columns, one newline at the end', () => {
  const encoded = Buffer.from(
    encodeBundle(made.key, `\r\n${made.chain.replace(/\n/g, '\r\n')}\n\n`),
  ).toString()
  expect(encoded).toMatch(
    /^-----BEGIN EC PRIVATE KEY-----\n([A-Za-z0-9+/=]{1,64}\n)+-----END EC PRIVATE KEY-----\n-----BEGIN CERTIFICATE-----\n([A-Za-z0-9+/=]{1,64}\n)+-----END CERTIFICATE-----\n$/,
  )
  expect(Buffer.from(rsa.data).toString()).toMatch(/^-----BEGIN RSA PRIVATE KEY-----\n/)
})

test('checkBundle reads back what encodeBundle wrote', () => {
  const checked = check(made.data)
  expect(checked).toMatchObject({ serialNumber: made.serialNumber })
  expect(check(rsa.data, 'example.com', 'rsa-2048')).toMatchObject({ serialNumber: rsa.serialNumber })
})

test.each([
  [
    'arbitrary bytes',
    () => Buffer.from(Array.from({ length: 2_000 }, (_, at) => (at * 7_919) % 251)),
    'no private key',
  ],
  ['an empty value', () => Buffer.alloc(0), 'no private key'],
  ['the chain alone', () => Buffer.from(made.chain), 'no private key'],
  ['the key alone', () => Buffer.from(text().slice(0, text().indexOf('-----BEGIN CERT'))), 'no certificate'],
  ['a truncated certificate', () => made.data.subarray(0, made.data.length - 60), 'no certificate'],
  [
    'an empty certificate',
    () => Buffer.from(text().replace(/(BEGIN CERT.*\n)[^-]*/, '$1 \n')),
    'no certificate',
  ],
  [
    'an unparsable certificate',
    () => Buffer.from(text().replace(/(BEGIN CERT.*\n)..../, '$1AAAA')),
    'unreadable',
  ],
  [
    'a key with a few wrong bits',
    () => Buffer.from(text().replace(/(BEGIN EC.*\n.{20})..../, '$1AAAA')),
    'key mismatch',
  ],
  ['an unparsable key', () => Buffer.from(text().replace(/(BEGIN EC.*\n)..../, '$1AAAA')), 'unreadable'],
  ['another key', () => encodeBundle(makeKey(), made.chain), 'key mismatch'],
  ['10 MB', () => Buffer.alloc(10_000_000, made.data), 'too large'],
] as const)('%s: the fault is reported', (_, data, fault) => {
  expect(check(data())).toMatchObject({ fault })
})

test('a value of 256 KiB is read, and a larger one is a fault', () => {
  const padded = (size: number) => Buffer.concat([made.data, Buffer.alloc(size - made.data.length, '\n')])
  expect(check(padded(256 * 1_024)).fault).toBeUndefined()
  expect(check(padded(256 * 1_024 + 1))).toEqual({ fault: 'too large' })
})

test('an intermediate that OpenSSL cannot parse is a fault', () => {
  const broken = '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n'
  expect(check(encodeBundle(made.key, made.chain + broken)).fault).toBe('unreadable')
})

test.each(['notBefore', 'notAfter'] as const)('a %s that is not a date is a fault', (field) => {
  const der = new X509Certificate(made.chain).raw
  const utcTime = Buffer.from([0x17, 13])
  const notBefore = der.indexOf(utcTime)
  const at = field === 'notBefore' ? notBefore : der.indexOf(utcTime, notBefore + 1)
  der.write('xx', at + utcTime.length)
  expect(check(encodeBundle(made.key, new X509Certificate(der).toString())).fault).toBe('unreadable')
})

test('a certificate for another host or for the parent domain is a fault', () => {
  expect(check(made.data, 'example.org').fault).toBe('another host')
  expect(check(made.data, 'www.example.com').fault).toBe('another host')
})

test('a wildcard certificate is for the hosts that its whole label stands for, and a partial wildcard for none', async () => {
  const { data } = await makeBundle({ host: '*.example.com' })
  expect(check(data, 'foo.example.com').fault).toBeUndefined()
  expect(check(data, 'example.com').fault).toBe('another host')
  expect(check(data, 'a.foo.example.com').fault).toBe('another host')
  for (const host of ['f*.example.com', '*o.example.com', 'f*o.example.com'])
    expect(check((await makeBundle({ host })).data, 'foo.example.com').fault).toBe('another host')
})

test('a certificate of the other key type is a fault, as in autocert', () => {
  expect(check(rsa.data, 'example.com', 'ecdsa-p256').fault).toBe('another key type')
  expect(check(made.data, 'example.com', 'rsa-2048').fault).toBe('another key type')
})

test('a certificate that names the host only in its subject is a fault, as in browsers', async () => {
  expect(check((await makeBundle({ isOldStyle: true })).data).fault).toBe('another host')
})

test('a certificate is accepted from its notBefore, minus the clock skew, until its notAfter', async () => {
  const at = (ms: number) => new Date(ms)
  const { data } = await makeBundle({ notBefore: at(now), notAfter: at(now + 60_000) })
  const fault = (time: number) => checkBundle(data, id('example.com'), time).fault
  expect(fault(now + 50_000)).toBeUndefined()
  expect(fault(now + 60_000)).toBe('expired')
  // X.509 has whole seconds.
  const notBefore = now - (now % 1_000)
  expect(fault(notBefore - 300_000)).toBeUndefined()
  expect(fault(notBefore - 300_001)).toBe('not yet valid')
})

test('inspecting or serialising a Certificate does not show its key', () => {
  const bundle = { key: 'THE KEY', chain: 'the chain' }
  const certificate = new Certificate('example.com', '01', new Date(0), new Date(1), bundle)
  expect(certificate.key).toBe('THE KEY')
  const shown = inspect(certificate, { showHidden: true, depth: 9 }) + JSON.stringify(certificate)
  expect(shown + Object.values({ ...certificate }).join()).not.toContain('THE KEY')
})
