import fc from 'fast-check'
import { expect } from 'vitest'
import { isToken } from '../../src/acme/challenges.js'
import { normalizeHost } from '../../src/certificates/hostname.js'
import { storageLayout } from '../../src/certificates/storage-layout.js'
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

const hosts = fc
  .oneof(fc.domain(), damagedText('token.example', ['acme', 'account', '.key', '+rsa', '+', 'xn--', '-']))
  .filter((name) => normalizeHost(name) === name)
const tokenChars = fc.constantFrom(...'ABCXYZabcxyz0189_-')
const tokens = fc
  .oneof(
    fc.string({ unit: tokenChars, maxLength: 9 }),
    fc.constantFrom('acme_account', 'token', 'key', 'rsa'),
    // Lengths up to the limit and beyond.
    fc.string({ unit: tokenChars, minLength: 120, maxLength: 136, size: 'max' }),
  )
  .filter(isToken)
const directories = fc.constantFrom('https://acme-v02.api.letsencrypt.org/directory', 'https://[::1]:14000/d')
const layouts = fc.tuple(
  directories,
  fc.constantFrom(...(['ecdsa-p256', 'rsa-2048'] as const)),
  fc.constantFrom(undefined, '', 'p~', 'a.example'),
)

property(
  'every key of a layout is valid and belongs to one record',
  500,
  fc.tuple(layouts, fc.uniqueArray(hosts, { maxLength: 4 }), fc.uniqueArray(tokens, { maxLength: 4 })),
  ([layout, hostNames, tokenNames]) => {
    const { certificate, tlsAlpn01, http01, failure, renewal, ...fixed } = storageLayout(...layout)
    const all = [
      ...Object.values(fixed),
      ...hostNames.flatMap((host) => [certificate, tlsAlpn01, failure, renewal].map((key) => key(host))),
      ...tokenNames.map(http01),
    ].flatMap((key) => [key, `${key}+lock`])
    for (const key of all) expect(() => assertCacheKey(key)).not.toThrow()
    expect(new Set(all).size).toBe(all.length)
  },
)

/** The bound in src/acme/challenges.ts. */
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
