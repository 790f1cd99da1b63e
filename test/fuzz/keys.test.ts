import fc from 'fast-check'
import { expect } from 'vitest'
import { certName } from '../../src/certificates/certificate-id.js'
import { normalizeHost } from '../../src/certificates/hostname.js'
import {
  caPrefix,
  entryKey,
  isToken,
  letsEncryptProduction,
  parseKey,
  type StoreEntry,
} from '../../src/certificates/storage-layout.js'
import { assertCacheKey, CacheKeyError } from '../../src/index.js'
import { damagedText, property } from './support.js'

const forbidden = new Set('\\/:*?"<>|')
/** Implements the documented rule character by character. */
const isLegal = (key: unknown) =>
  typeof key === 'string' &&
  !['', '.', '..'].includes(key) &&
  [...key].every((char) => char >= ' ' && char <= '~' && !forbidden.has(char))

const keys = fc.oneof(
  fc.string({ unit: 'binary-ascii', maxLength: 4 }),
  fc.string({ unit: 'binary' }),
  fc.string(),
  damagedText('www.example.com+token', ['/', '..', '\n', '\u0000', 'ü', '+lock']),
  fc.constantFrom('', '.', '..', '...', '. ', 'a\n'),
)

property(
  'a key follows the documented rule or causes a CacheKeyError',
  5_000,
  fc.oneof(keys, fc.anything({ withBigInt: true })),
  (key) => {
    if (isLegal(key)) return expect(() => assertCacheKey(key as string)).not.toThrow()
    expect(() => assertCacheKey(key as string)).toThrow(CacheKeyError)
  },
)

const names = fc
  .oneof(fc.domain(), damagedText('token.example', ['acme', 'account', '.key', '+rsa', '+', 'xn--', '-']))
  .map(normalizeHost)
  .filter((host) => host !== undefined)
  .map(certName)
const tokenChars = fc.constantFrom(...'ABCXYZabcxyz0189_-')
const tokens = fc
  .oneof(
    fc.string({ unit: tokenChars, maxLength: 9 }),
    fc.constantFrom('acme_account', 'token', 'key', 'rsa'),
    // Lengths up to the limit and beyond.
    fc.string({ unit: tokenChars, minLength: 120, maxLength: 136, size: 'max' }),
  )
  .filter(isToken)
const cas = fc
  .tuple(
    fc.constantFrom(letsEncryptProduction, 'https://[::1]:14000/d'),
    fc.constantFrom(undefined, '', 'p~', 'p~q', 'p~q~', 'a+', 'a.example'),
  )
  .map(([directoryUrl, keyPrefix]) => caPrefix(directoryUrl, keyPrefix))
const recordKinds = ['certificate', 'failure', 'renewal'] as const
const keyTypes = ['ecdsa-p256', 'rsa-2048'] as const

property(
  'every key of a CA is valid and belongs to one entry',
  500,
  fc.tuple(cas, fc.uniqueArray(names, { maxLength: 4 }), fc.uniqueArray(tokens, { maxLength: 4 })),
  ([ca, certNames, tokenNames]) => {
    const entries: StoreEntry[] = [
      { kind: 'account key', ca },
      { kind: 'legacy account key', ca },
      ...certNames.flatMap((name): StoreEntry[] => [
        { kind: 'tls-alpn-01', ca, name },
        ...keyTypes.flatMap((keyType) => recordKinds.map((kind) => ({ kind, id: { ca, name, keyType } }))),
      ]),
      ...tokenNames.map((token) => ({ kind: 'http-01', ca, token }) as const),
    ]
    const all = entries.map(entryKey).flatMap((key) => [key, `${key}+lock`])
    for (const key of all) expect(() => assertCacheKey(key)).not.toThrow()
    expect(new Set(all).size).toBe(all.length)
  },
)

const entries: fc.Arbitrary<StoreEntry> = fc.oneof(
  fc.record({
    kind: fc.constantFrom(...recordKinds),
    id: fc.record({ ca: cas, name: names, keyType: fc.constantFrom(...keyTypes) }),
  }),
  fc.record({ kind: fc.constant('tls-alpn-01' as const), ca: cas, name: names }),
  fc.record({ kind: fc.constant('http-01' as const), ca: cas, token: tokens }),
  fc.record({ kind: fc.constantFrom('account key' as const, 'legacy account key' as const), ca: cas }),
)

property('the key of an entry parses to the entry', 2_000, entries, (entry) => {
  const ca = 'id' in entry ? entry.id.ca : entry.ca
  const key = entryKey(entry)
  expect(parseKey(key, ca)).toEqual(entry)
  expect(parseKey(`${key}+lock`, ca)).toEqual({ kind: 'lock', ca })
  if (ca === '' || ca.endsWith('~')) expect(parseKey(key)).toEqual(entry)
})

/** Prefixes, names and suffixes in any order and number. */
const keyParts = fc.array(
  fc.constantFrom(
    ...['p~', '~', 'a.example', 'A.example', 'a', '.', 'acme_account', '.key', '+', '+key', '+http-01'],
    ...['+token', '+rsa', '+lock', '+failure', '+renewal', '+certificate'],
  ),
  { maxLength: 5 },
)
const storedKeys = fc.oneof(
  keys,
  keyParts.map((parts) => parts.join('')),
  damagedText('p~a.example+rsa+failure', ['+', '~', '+lock', '+token']),
)

property(
  'a key that parses to an entry is the key of the entry',
  5_000,
  fc.tuple(storedKeys, fc.option(cas, { nil: undefined })),
  ([key, selectedCa]) => {
    const parsed = parseKey(key, selectedCa)
    if (parsed.kind === 'lock') return expect(key.endsWith('+lock')).toBe(true)
    if (parsed.kind === 'unknown') return expect(key.startsWith(parsed.ca)).toBe(true)
    expect(entryKey(parsed as StoreEntry)).toBe(key)
  },
)

/** The bound in src/certificates/storage-layout.ts. */
const maxTokenLength = 128
const tokenLike = fc.oneof(
  keys,
  fc.string({ unit: tokenChars, maxLength: 300, size: 'max' }),
  fc.integer({ min: maxTokenLength - 2, max: maxTokenLength + 2 }).map((length) => 'x'.repeat(length)),
  fc
    .tuple(tokens, fc.constantFrom('+', '/', '=', '.', '\n', '\r', ' ', '\u0000', 'é', '\u017f'))
    .map(([token, odd]) => token + odd),
)

property('a token is 1 to 128 characters of base64url', 2_000, tokenLike, (token) => {
  const isLegal =
    token.length >= 1 &&
    token.length <= maxTokenLength &&
    [...token].every((char) => /^[A-Za-z0-9_-]$/.test(char) && char !== '\n')
  expect(isToken(token)).toBe(isLegal)
})
