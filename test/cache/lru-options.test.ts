import { expect, test } from 'vitest'
import { LruCertCache } from '../../src/index.js'
import { MemoryStore } from '../support/memory-store.js'

test.each([0, -1, 1.5, Number.NaN, '10', 1_000_001])('max %j throws a TypeError', (max) => {
  expect(() => new LruCertCache(new MemoryStore(), { max: max as number })).toThrow(
    /^LruCertCache: max must be/,
  )
})

test('a store that is not a CertCache throws a TypeError', () => {
  expect(() => new LruCertCache({} as never)).toThrow(/^LruCertCache: store must be a CertCache/)
})

test.each([
  ['options', null],
  ['options', 'max'],
  ['onPutFailed', { onPutFailed: 5 }],
  ['clock', { clock: 5 }],
])('an invalid value for %s throws a TypeError that names it: %j', (name, options) => {
  const make = () => new LruCertCache(new MemoryStore(), options as never)
  expect(make).toThrow(TypeError)
  expect(make).toThrow(new RegExp(`^LruCertCache: ${name} `))
})
