import { createSecretKey, type KeyObject, randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { expect } from 'vitest'
import { isPlaintext, open, seal } from '../../src/cache/envelope.js'
import { damaged, property } from './support.js'

const key = createSecretKey(randomBytes(32))
const other = createSecretKey(randomBytes(32))
const printable = (minLength: number, maxLength: number) =>
  fc
    .array(fc.integer({ min: 0x20, max: 0x7e }), { minLength, maxLength })
    .map((codes) => String.fromCharCode(...codes))
const ids = printable(1, 32)
const cacheKeys = printable(1, 40)
const values = fc.uint8Array({ maxLength: 300 })

const undecryptable = expect.objectContaining({ name: 'StoreError', code: 'ERR_STORE_DECRYPT' })

property(
  'what was sealed is opened, whatever else is in the ring',
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
  'nothing opens under another cache key, id or key, however header and cache key are cut',
  500,
  fc.tuple(values, cacheKeys, cacheKeys, ids),
  ([data, cacheKey, another, id]) => {
    const sealed = seal(data, cacheKey, id, key)
    expect(() => open(sealed, cacheKey, new Map([[id, other]]))).toThrow(undecryptable)
    const ring = new Map([[id, key]])
    if (another !== cacheKey) expect(() => open(sealed, another, ring)).toThrow(undecryptable)
    // A shorter id with the rest of it before the cache key, and the other way about.
    for (let length = 1; length < id.length; length++) {
      const moved = Buffer.from(sealed)
      moved[5] = length
      const cut = new Map([[id.slice(0, length), key]])
      expect(() => open(moved, id.slice(length) + cacheKey, cut)).toThrow(undecryptable)
      expect(() => open(moved, cacheKey, cut)).toThrow(undecryptable)
    }
  },
)

/** Whatever the id, the same key: then the envelope alone can tell that it was changed. */
const anyId: ReadonlyMap<string, KeyObject> = Object.assign(new Map(), { get: () => key })
property(
  'no bit of an envelope can be changed, its header’s neither',
  1_000,
  fc.tuple(values, cacheKeys, ids, fc.nat(), fc.nat(7)),
  ([data, cacheKey, id, at, bit]) => {
    const changed = Buffer.from(seal(data, cacheKey, id, key))
    expect(Buffer.compare(open(changed, cacheKey, anyId), data)).toBe(0)
    // Half of the time in the header, most of which is the id.
    const index = at % (bit % 2 ? changed.length : 6 + id.length)
    changed[index] = (changed[index] as number) ^ (1 << bit)
    expect(() => open(changed, cacheKey, anyId)).toThrow(undecryptable)
  },
)

const sealed = seal(Buffer.from('{"failures":1}'), 'a.example', '2026-10', key)
const ring = new Map([
  ['2026-10', key],
  ['2025-10', other],
])
property(
  'damaged, an envelope is refused with the one error that is documented',
  3_000,
  fc.oneof(damaged(sealed, ['2025-10', '\u0000']), fc.uint8Array({ maxLength: 80 })),
  (bytes) => {
    if (Buffer.compare(bytes, sealed) === 0) return
    expect(() => open(bytes, 'a.example', ring)).toThrow(undecryptable)
  },
)

property(
  'text is told apart from envelopes, if it is not empty',
  500,
  fc.string({ unit: 'binary' }),
  (text) => {
    expect(isPlaintext(Buffer.from(text))).toBe(text !== '')
  },
)
