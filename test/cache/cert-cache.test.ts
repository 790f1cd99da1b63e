import { expect, test } from 'vitest'
import { assertCacheKey, CacheKeyError, EncryptedCertCache, LruCertCache } from '../../src/index.js'
import { MemoryStore } from '../support/memory-store.js'

test('assertCacheKey throws a CacheKeyError for invalid keys of any type', () => {
  for (const key of ['', 'a/b', '..', 'a\n', 'ü', undefined, null, 5, 5n, {}, Symbol('key')]) {
    expect(() => assertCacheKey(key as never), String(key)).toThrow(CacheKeyError)
  }
})

test.each([
  ['LruCertCache', (store: never) => new LruCertCache(store)],
  ['EncryptedCertCache', (store: never) => new EncryptedCertCache(store, {} as never)],
])('%s asks whether await was forgotten if the store is a promise', (name, create) => {
  const open = async () => new MemoryStore()
  expect(() => create(open() as never)).toThrow(TypeError)
  expect(() => create(open() as never)).toThrow(
    new RegExp(`^${name}: store must be a CertCache .*, not a promise: did you forget await\\?$`),
  )
})
