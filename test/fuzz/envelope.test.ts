import { createSecretKey, type KeyObject } from 'node:crypto'
import fc from 'fast-check'
import { expect } from 'vitest'
import { isPlaintext, open, seal } from '../../src/cache/encryption/envelope.js'
import { damaged, property } from './support.js'

const key = createSecretKey(Buffer.alloc(32, 7))
const other = createSecretKey(Buffer.alloc(32, 8))
const printable = (minLength: number, maxLength: number) =>
  fc
    .array(fc.integer({ min: 0x20, max: 0x7e }), { minLength, maxLength })
    .map((codes) => String.fromCharCode(...codes))
const ids = printable(1, 32)
const cacheKeys = printable(1, 40)
const values = fc.uint8Array({ maxLength: 300 })

const undecryptable = expect.objectContaining({ name: 'StoreError', code: 'ERR_STORE_DECRYPT' })

property(
  'a sealed value opens, whatever other keys the ring holds',
  500,
  fc.tuple(values, cacheKeys, ids, ids),
  ([data, cacheKey, id, otherId]) => {
    const ring = new Map<string, KeyObject>([
      [otherId, other],
      [id, key],
    ])
    const sealed = seal(data, cacheKey, id, key)
    expect(isPlaintext(sealed)).toBe(false)
    expect(Buffer.compare(open(sealed, cacheKey, ring), data)).toBe(0)
  },
)

property(
  'an envelope does not open under another cache key, id or key, nor if id and cache key are split elsewhere',
  150,
  fc.tuple(values, cacheKeys, cacheKeys, ids),
  ([data, cacheKey, another, id]) => {
    const sealed = seal(data, cacheKey, id, key)
    expect(() => open(sealed, cacheKey, new Map([[id, other]]))).toThrow(undecryptable)
    const ring = new Map([[id, key]])
    if (another !== cacheKey) expect(() => open(sealed, another, ring)).toThrow(undecryptable)
    // The rest of a shorter id goes before the cache key, or is dropped.
    for (let length = 1; length < id.length; length++) {
      const moved = Buffer.from(sealed)
      moved[5] = length
      const cut = new Map([[id.slice(0, length), key]])
      expect(() => open(moved, id.slice(length) + cacheKey, cut)).toThrow(undecryptable)
      expect(() => open(moved, cacheKey, cut)).toThrow(undecryptable)
    }
  },
)

/** The same key for every id, so that only the envelope can reveal the change. */
const anyId: ReadonlyMap<string, KeyObject> = Object.assign(new Map(), { get: () => key })
property(
  'an envelope with any bit changed, in its header too, does not open',
  1_000,
  fc.tuple(values, cacheKeys, ids, fc.nat(), fc.nat(7)),
  ([data, cacheKey, id, at, bit]) => {
    const changed = Buffer.from(seal(data, cacheKey, id, key))
    expect(Buffer.compare(open(changed, cacheKey, anyId), data)).toBe(0)
    // Half of the time in the header, which is mostly the id.
    const index = at % (bit % 2 ? changed.length : 6 + id.length)
    changed[index] = (changed[index] as number) ^ (1 << bit)
    expect(() => open(changed, cacheKey, anyId)).toThrow(undecryptable)
  },
)

/** "a secret" as a.example, sealed with `key` under the id "01"; fixed, as `seal` takes a random nonce. */
const sealed = Buffer.from(
  'ff41434301023031000102030405060708090a0b79a19a157e7bbc3da4e2730c66636c5d23f23be1e84a73c7',
  'hex',
)
const ring = new Map([
  ['01', key],
  ['02', other],
])
property(
  'a damaged envelope is rejected with ERR_STORE_DECRYPT',
  3_000,
  fc.oneof(damaged(sealed, ['02', '\u0000']), fc.uint8Array({ maxLength: 80 })),
  (bytes) => {
    fc.pre(Buffer.compare(bytes, sealed) !== 0)
    expect(() => open(bytes, 'a.example', ring)).toThrow(undecryptable)
  },
)

property('text that is not empty is recognised as plaintext', 500, fc.string({ unit: 'binary' }), (text) => {
  expect(isPlaintext(Buffer.from(text))).toBe(text !== '')
})
