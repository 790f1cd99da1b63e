import assert from 'node:assert/strict'
import { type CertCache, isLocking } from '../../cache/cert-cache.js'
import { assertStored, bytes, forAll, outcomeOf } from './assertions.js'
import type { Check } from './types.js'

const forbiddenCharacters = '\\/:*?"<>|'
const allowedCharacters = Array.from({ length: 0x7f - 0x20 }, (_, index) =>
  String.fromCharCode(0x20 + index),
).filter((character) => !forbiddenCharacters.includes(character))

/** Keys with a special meaning in file systems, shells, URLs, SQL or JavaScript. */
const specialKeys = [
  ...[
    'CON',
    'con',
    'NUL',
    'COM1',
    'aux.example',
    '...',
    '..a',
    'a..',
    'a.',
    '.a',
    '. ',
    ' ',
    '  ',
    ' a',
    'a ',
    'a b',
  ],
  ...[
    '-rf',
    '~',
    '~root',
    '.git',
    '.nfs1',
    '$HOME',
    '`id`',
    '$(id)',
    '!1',
    '#a',
    '[a]',
    '{a,b}',
    'a;b',
    '&&',
  ],
  ...[
    '%',
    '%00',
    '%2e%2e',
    '%2F',
    'a%20b',
    'a+b',
    'a%2Bb',
    '+',
    '=',
    '@',
    'a&b=c',
    ';v=1',
    ',',
    '_',
    'a_b',
    'a%b',
  ],
  ...[
    "'",
    "''",
    "' or ''='",
    '--',
    "a';--",
    '__proto__',
    'constructor',
    'toString',
    'null',
    'undefined',
    '0',
  ],
  ...[
    'acme_account+key',
    'a.example',
    'a.example+rsa',
    'a.example+token',
    'a.example+rsa+failure',
    't0k_en-+http-01',
  ],
]

const invalidKeys = [
  ...['', '.', '..', 'a/b', '/a', 'a/', '../a', './a', '/etc/passwd', '..\\a', 'a\\b', 'C:a'],
  ...[...forbiddenCharacters].map((character) => `a${character}b`),
  ...['a\nb', 'a\n', '\na', 'a\0', 'a\tb', '\x7f', '\x1f', 'é', 'ａ', '．．', 'a\u{1f512}', '\ud800'],
]

async function assertDistinct(keys: readonly string[], store: CertCache, peer: CertCache): Promise<void> {
  const distinct = [...new Set(keys)]
  await forAll(distinct, (key) => store.put(key, bytes(`the value of ${key}`)))
  await forAll(distinct, (key) =>
    assertStored(peer, key, bytes(`the value of ${key}`), 'after put of this key and of others'),
  )
  const deleted = distinct.filter((_, index) => index % 2 === 1)
  const kept = distinct.filter((_, index) => index % 2 === 0)
  await forAll(deleted, (key) => peer.delete(key))
  await forAll(deleted, (key) => assertStored(store, key, undefined, 'after delete'))
  await forAll(kept, (key) =>
    assertStored(store, key, bytes(`the value of ${key}`), 'after delete of other keys'),
  )
}

export const keyChecks = (withLocks: boolean): readonly Check[] => [
  {
    name: 'every allowed character works at every position of a key, and all keys stay distinct',
    async run({ store, peer }) {
      const keys = allowedCharacters.flatMap((character) => [
        ...(character === '.' ? [] : [character]),
        ...[`${character}-`, `-${character}`, `-${character}-`],
      ])
      await assertDistinct(keys, store, await peer())
    },
  },
  {
    name: 'keys with a special meaning in file systems, URLs or SQL work like any other key',
    async run({ store, peer }) {
      await assertDistinct(specialKeys, store, await peer())
    },
  },
  {
    name: 'keys that differ only in case are distinct',
    async run({ store, peer }) {
      await assertDistinct(
        ['a.example', 'A.example', 'A.EXAMPLE', 'a.Example', 'Q_-z', 'q_-Z'],
        store,
        await peer(),
      )
    },
  },
  {
    name: 'keys can be as long as a host name: 253 characters',
    async run({ store, peer }) {
      const long = `${`${'a'.repeat(62)}.`.repeat(4)}b`
      await assertDistinct([long, `${long.slice(0, -1)}c`, long.slice(0, -2)], store, await peer())
    },
  },
  {
    name: 'every operation rejects a key outside the alphabet with a CacheKeyError',
    async run({ store }) {
      for (const key of [...invalidKeys, undefined, null, 1, {}] as string[]) {
        const quotedKey = JSON.stringify(key) ?? String(key)
        const operations: [string, () => Promise<unknown>][] = [
          ['get', () => store.get(key)],
          ['put', () => store.put(key, bytes('value'))],
          ['delete', () => store.delete(key)],
        ]
        if (withLocks && isLocking(store)) operations.push(['tryLock', () => store.tryLock(key)])
        for (const [name, run] of operations) {
          const outcome = await outcomeOf(run)
          const code = 'error' in outcome ? (outcome.error as { code?: unknown } | null)?.code : 'no error'
          assert.equal(
            code,
            'ERR_CACHE_KEY',
            `${name}(${quotedKey}) must reject with a CacheKeyError: call assertCacheKey first`,
          )
        }
      }
    },
  },
]
