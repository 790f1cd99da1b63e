import { expect, test } from 'vitest'
import { assertCacheKey, CacheKeyError } from '../../src/index.js'

test('assertCacheKey throws a CacheKeyError for invalid keys of any type', () => {
  for (const key of ['', 'a/b', '..', 'a\n', 'ü', undefined, null, 5, 5n, {}, Symbol('key')]) {
    expect(() => assertCacheKey(key as never), String(key)).toThrow(CacheKeyError)
  }
})
