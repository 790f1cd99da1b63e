import { expect, test } from 'vitest'
import { type CertId, certName, type KeyType } from '../../src/certificates/certificate-id.js'
import { requireHost } from '../../src/certificates/hostname.js'
import {
  caPrefix,
  certificateKey,
  entryKey,
  letsEncryptProduction,
  parseKey,
  type StoreEntry,
} from '../../src/certificates/storage-layout.js'

const name = certName(requireHost('a.example'))
const certId = (keyType: KeyType, ca = ''): CertId => ({ ca, name, keyType })

test('certificates of different key types share the account and the challenge answers, and nothing else', () => {
  const [rsa, ecdsa] = [certId('rsa-2048'), certId('ecdsa-p256')]
  expect(certificateKey(rsa)).toBe('a.example+rsa')
  expect(entryKey({ kind: 'certificate', id: rsa })).toBe('a.example+rsa')
  expect(entryKey({ kind: 'failure', id: rsa })).toBe('a.example+rsa+failure')
  expect(entryKey({ kind: 'renewal', id: rsa })).toBe('a.example+rsa+renewal')
  expect(certificateKey(ecdsa)).toBe('a.example')
  expect(entryKey({ kind: 'certificate', id: ecdsa })).toBe('a.example')
  expect(entryKey({ kind: 'failure', id: ecdsa })).toBe('a.example+failure')
  expect(entryKey({ kind: 'renewal', id: ecdsa })).toBe('a.example+renewal')
  expect(entryKey({ kind: 'tls-alpn-01', ca: '', name })).toBe('a.example+token')
  expect(entryKey({ kind: 'http-01', ca: '', token: 'tok_en' })).toBe('tok_en+http-01')
  expect(entryKey({ kind: 'account key', ca: '' })).toBe('acme_account+key')
  expect(entryKey({ kind: 'legacy account key', ca: '' })).toBe('acme_account.key')
})

test.each([
  [letsEncryptProduction, ''],
  ['https://acme-staging-v02.api.letsencrypt.org/directory', 'acme-staging-v02.api.letsencrypt.org~'],
  ['https://acme.example:14000/directory', 'acme.example_14000~'],
  ['https://[2001:db8::1]:14000/directory', '_2001_db8__1__14000~'],
])('by default, the keys of the CA at %s begin with %j', (url, prefix) => {
  expect(caPrefix(url)).toBe(prefix)
  expect(certificateKey(certId('ecdsa-p256', caPrefix(url)))).toBe(`${prefix}a.example`)
})

test.each(['', 'p~', 'custom'])('the key prefix %j replaces the default', (prefix) => {
  expect(caPrefix('https://acme.example/directory', prefix)).toBe(prefix)
})

const entriesOf = (ca: string): StoreEntry[] => [
  ...(['ecdsa-p256', 'rsa-2048'] as const).flatMap((keyType) =>
    (['certificate', 'failure', 'renewal'] as const).map((kind) => ({ kind, id: certId(keyType, ca) })),
  ),
  { kind: 'tls-alpn-01', ca, name },
  { kind: 'http-01', ca, token: 'tok_en' },
  { kind: 'account key', ca },
  { kind: 'legacy account key', ca },
]

test.each([
  ['', undefined],
  ['', ''],
  ['', 'custom'],
  ['ca.example~', undefined],
  ['ca.example~', 'ca.example~'],
  ['ca.example~', 'custom'],
  ['p~q~', undefined],
  ['custom', 'custom'],
  // Keys start with "a.examplea.example".
  ['a.example', 'a.example'],
  ['p~custom', 'p~custom'],
])('parses every key with the prefix %j while %j is selected', (ca, selectedCa) => {
  for (const entry of entriesOf(ca)) {
    const key = entryKey(entry)
    expect({ key, parsed: parseKey(key, selectedCa) }).toEqual({ key, parsed: entry })
    expect(parseKey(`${key}+lock`, selectedCa)).toEqual({ kind: 'lock', ca })
  }
})

test('recognises a prefix that does not end with ~ only if the prefix is selected', () => {
  const id = certId('ecdsa-p256', 'custom')
  expect(parseKey('customa.example', 'custom')).toEqual({ kind: 'certificate', id })
  expect(parseKey('customa.example')).toEqual({
    kind: 'certificate',
    id: { ...id, ca: '', name: 'customa.example' },
  })
})

test.each(['+lock', 'lock+lock', 'A.example+lock', 'a.example++lock', 'a.example+rsa+token+lock'])(
  'takes %j for a lock',
  (key) => {
    expect(parseKey(key)).toEqual({ kind: 'lock', ca: '' })
    expect(parseKey(`ca.example~${key}`)).toEqual({ kind: 'lock', ca: 'ca.example~' })
  },
)

test.each([
  '',
  '+',
  '+token',
  '+http-01',
  '+rsa',
  'example',
  'A.example',
  'a.example.',
  '192.0.2.1',
  'a.example+',
  'a.example++token',
  'a.example+token+',
  'a.example+rsa+',
  'a.example+rsa+rsa',
  'a.example+rsa+token',
  'a.example+certificate',
  'a.example+rsa+certificate',
  'a.example+failure+renewal',
  'a.example+failure+rsa',
  'a.example+LOCK',
  'a.example+http-01',
  'token+token',
  'acme_account',
  'acme_account+key+',
  'acme_account+key+rsa',
  'acme_account.key+',
  'acme_account.key+rsa',
  `${'x'.repeat(129)}+http-01`,
  'doctor-01234567-89ab-cdef-0123-456789abcdef',
  'Something Else',
])('does not take %j for an entry', (key) => {
  expect(parseKey(key)).toEqual({ kind: 'unknown', ca: '' })
  expect(parseKey(`ca.example~${key}`)).toEqual({ kind: 'unknown', ca: 'ca.example~' })
  expect(parseKey(`custom${key}`, 'custom')).toEqual({ kind: 'unknown', ca: 'custom' })
})
