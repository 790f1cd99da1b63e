import { createSecretKey, generateKeyPairSync, randomBytes } from 'node:crypto'
import { inspect } from 'node:util'
import { expect, test } from 'vitest'
import { isListable, isLocking } from '../../../src/cache/cert-cache.js'
import {
  type CacheOperationOptions,
  type CertCacheEntry,
  EncryptedCertCache,
  type EncryptedCertCacheOptions,
  type EncryptionKey,
  type LockingCertCache,
  LruCertCache,
  StoreError,
} from '../../../src/index.js'
import { LockingStore } from '../../support/locking-store.js'
import { MemoryStore } from '../../support/memory-store.js'

const makeKey = (id: string): EncryptionKey => ({ id, key: randomBytes(32) })
const current = makeKey('2026-10')
const text = (data: Uint8Array | undefined) => data && Buffer.from(data).toString()

function open(options: Partial<EncryptedCertCacheOptions> = {}, store = new MemoryStore()) {
  const cache = new EncryptedCertCache(store, { keys: { current }, ...options })
  return { store, cache, stored: () => store.values.get('a.example') as Uint8Array }
}

/** Opens a cache and puts a value for a.example. */
async function withValue(value = 'a secret', options: Partial<EncryptedCertCacheOptions> = {}) {
  const opened = open(options)
  await opened.cache.put('a.example', Buffer.from(value))
  return opened
}

const undecryptable = expect.objectContaining({ name: 'StoreError', code: 'ERR_STORE_DECRYPT' })

test('get returns the value that was put; the store holds ciphertext that differs for each put', async () => {
  const { cache, store, stored } = await withValue()
  const first = stored()
  expect(text(await cache.get('a.example'))).toBe('a secret')
  expect(Buffer.from(first).includes('a secret')).toBe(false)
  await cache.put('a.example', Buffer.from('a secret'))
  expect(stored()).not.toEqual(first)
  await cache.put('empty', new Uint8Array())
  expect(await cache.get('empty')).toEqual(Buffer.alloc(0))
  await cache.delete('a.example')
  expect(await cache.get('a.example')).toBeUndefined()
  expect(store.values.has('a.example')).toBe(false)
})

test('decrypts a value in the fixed format that every version must read', async () => {
  const sealed = 'ff41434301023031000102030405060708090a0b79a19a157e7bbc3da4e2730c66636c5d23f23be1e84a73c7'
  const { cache, store } = open({ keys: { current: { id: '01', key: new Uint8Array(32).fill(7) } } })
  store.values.set('a.example', Buffer.from(sealed, 'hex'))
  expect(text(await cache.get('a.example'))).toBe('a secret')
})

test('a value put under one name can’t be read under another', async () => {
  const { cache, store, stored } = await withValue()
  store.values.set('b.example', stored())
  await expect(cache.get('b.example')).rejects.toThrow(/b\.example.*copied from another cache key/)
  await expect(cache.get('b.example')).rejects.toEqual(undecryptable)
  expect(text(await cache.get('a.example'))).toBe('a secret')
})

test('a value with any bit changed, cut off or added is an error, not a miss, with or without readPlaintext', async () => {
  for (const readPlaintext of [false, true]) {
    const { cache, store, stored } = await withValue('a secret', { readPlaintext })
    const whole = stored()
    const damaged = [Buffer.concat([whole, Buffer.alloc(1)]), Buffer.concat([whole, whole])]
    for (let length = 0; length < whole.length; length++) damaged.push(Buffer.from(whole.subarray(0, length)))
    for (let bit = 0; bit < 8 * whole.length; bit++) {
      // Only the first byte distinguishes ciphertext from plaintext.
      if (readPlaintext && bit < 8) continue
      const copy = Buffer.from(whole)
      copy[bit >> 3] = (copy[bit >> 3] as number) ^ (1 << (bit & 7))
      damaged.push(copy)
    }
    for (const data of damaged) {
      store.values.set('a.example', data)
      await expect(cache.get('a.example'), data.toString('hex')).rejects.toEqual(undecryptable)
    }
  }
})

test('distinguishes an unknown key id from a wrong key with the same id', async () => {
  const { store } = await withValue()
  const { cache: without } = open({ keys: { current: makeKey('2027-10') } }, store)
  await expect(without.get('a.example')).rejects.toThrow(/keys contains no key with the id "2026-10"/)
  await expect(without.get('a.example')).rejects.toEqual(undecryptable)
  const { cache: wrong } = open({ keys: { current: makeKey('2026-10') } }, store)
  await expect(wrong.get('a.example')).rejects.toThrow(/a different key that has the id "2026-10"/)
  await expect(wrong.get('a.example')).rejects.toEqual(undecryptable)
})

test('rejects stored plaintext unless readPlaintext is set; put encrypts in either case', async () => {
  const { cache, store } = open()
  const pem = Buffer.from('-----BEGIN PRIVATE KEY-----')
  store.values.set('a.example', pem)
  await expect(cache.get('a.example')).rejects.toThrow(/not encrypted\. Set readPlaintext/)
  await expect(cache.get('a.example')).rejects.toEqual(undecryptable)
  const { cache: migrating, stored } = open({ readPlaintext: true }, store)
  const data = await migrating.get('a.example')
  expect(data).toEqual(pem)
  await migrating.put('a.example', data as Uint8Array)
  expect(Buffer.from(stored()).includes('BEGIN')).toBe(false)
  expect(await cache.get('a.example')).toEqual(pem)
})

test('at each step of a key rotation, every machine reads the values of all others', async () => {
  const store = new MemoryStore()
  const next: EncryptionKey = { id: '2027-10', key: createSecretKey(randomBytes(32)) }
  const steps = [
    { current },
    { current, previous: [next] },
    { current: next, previous: [current] },
    { current: next },
  ].map((keys) => new EncryptedCertCache(store, { keys }))
  const [before, first, second, last] = steps as [
    EncryptedCertCache,
    EncryptedCertCache,
    EncryptedCertCache,
    EncryptedCertCache,
  ]
  for (const [writer, readers] of [
    [before, [before, first, second]],
    [first, [before, first, second]],
    [second, [first, second, last]],
    [last, [first, second, last]],
  ] as const) {
    await writer.put('a.example', Buffer.from('a secret'))
    for (const reader of readers) expect(text(await reader.get('a.example'))).toBe('a secret')
  }
  // A value that is never rewritten needs a get and a put before the old key is removed.
  await before.put('acme_account+key', Buffer.from('the account'))
  await expect(last.get('acme_account+key')).rejects.toEqual(undecryptable)
  await second.put('acme_account+key', (await second.get('acme_account+key')) as Uint8Array)
  expect(text(await last.get('acme_account+key'))).toBe('the account')
})

test('supports locks and listing only if the store does', async () => {
  const { cache: plain } = open()
  expect('tryLock' in plain || 'list' in plain).toBe(false)
  expect(isLocking(plain) || isListable(plain)).toBe(false)

  const entry: CertCacheEntry = { name: 'a.example', size: 40, modified: new Date(0) }
  const store = Object.assign(new LockingStore(), {
    async *list(options?: CacheOperationOptions) {
      options?.signal?.throwIfAborted()
      yield entry
    },
  })
  const { cache } = open({}, store)
  if (!isLocking(cache) || !isListable(cache)) return expect.unreachable()
  const lock = await cache.tryLock('a.example')
  expect(store.held('a.example')).toBe(true)
  expect(await cache.tryLock('a.example')).toBeUndefined()
  await lock?.release()
  expect(store.held('a.example')).toBe(false)
  const listed: CertCacheEntry[] = []
  for await (const found of cache.list()) listed.push(found)
  expect(listed).toEqual([entry])
  const aborted = cache.list({ signal: AbortSignal.abort(new Error('enough')) })
  await expect(aborted[Symbol.asyncIterator]().next()).rejects.toThrow('enough')
})

test('passes on the store’s misses and failures and the caller’s signals, and rejects invalid keys', async () => {
  const { cache, store } = open()
  expect(await cache.get('a.example')).toBeUndefined()
  await expect(cache.get('a/b')).rejects.toMatchObject({ code: 'ERR_CACHE_KEY' })
  await expect(cache.put('a/b', Buffer.from(''))).rejects.toMatchObject({ code: 'ERR_CACHE_KEY' })
  await expect(cache.delete('a/b')).rejects.toMatchObject({ code: 'ERR_CACHE_KEY' })
  expect(store.take()).toEqual(['get a.example'])
  const down = new StoreError('ERR_STORE_UNREACHABLE', 'down')
  store.before = () => Promise.reject(down)
  for (const operation of [
    cache.get('a.example'),
    cache.put('a.example', Buffer.from('')),
    cache.delete('a.example'),
  ]) {
    await expect(operation).rejects.toBe(down)
  }
  const seen: unknown[] = []
  const record = (options?: { signal?: AbortSignal | undefined }) => void seen.push(options?.signal)
  const recording = new EncryptedCertCache(
    {
      get: async (_key, options) => record(options) as undefined,
      put: async (_key, _data, options) => record(options),
      delete: async (_key, options) => record(options),
      tryLock: async (_name, options) => record(options) as undefined,
    } as LockingCertCache,
    { keys: { current } },
  )
  const { signal } = new AbortController()
  await recording.get('a', { signal })
  await recording.put('a', Buffer.from(''), { signal })
  await recording.delete('a', { signal })
  await recording.tryLock?.('a', { signal })
  expect(seen).toEqual([signal, signal, signal, signal])
})

test('a key id of 32 characters, spaces and tildes included, is valid and selects the key', async () => {
  const id = `${'x'.repeat(30)} ~`
  const { cache } = await withValue('a secret', { keys: { current: makeKey(id) } })
  expect(text(await cache.get('a.example'))).toBe('a secret')
})

test('the memory tier caches the decrypted value', async () => {
  const { cache, store } = await withValue()
  const memory = new LruCertCache(cache)
  store.take()
  for (let i = 0; i < 3; i++) expect(text(await memory.get('a.example'))).toBe('a secret')
  expect(store.take()).toEqual(['get a.example'])
})

test('copies the bytes of each key, and does not reveal them when inspected or serialised', async () => {
  const bytes = randomBytes(32)
  const [hex, base64, list] = [bytes.toString('hex'), bytes.toString('base64'), [...bytes].join(', ')]
  const { cache } = await withValue('a secret', {
    keys: { current: { id: 'k', key: bytes }, previous: [{ id: 'j', key: bytes }] },
  })
  // Inspect before the bytes are overwritten, so that a retained reference would show them.
  const shown = inspect(cache, { showHidden: true, depth: Number.POSITIVE_INFINITY, maxArrayLength: null })
  for (const view of [shown, JSON.stringify(cache), inspect({ ...cache }, { showHidden: true })]) {
    for (const secret of [hex, base64, list, hex.replace(/..(?!$)/g, '$& ')])
      expect(view).not.toContain(secret)
  }
  expect(JSON.stringify(cache)).toBe('{}')
  bytes.fill(0)
  expect(text(await cache.get('a.example'))).toBe('a secret')
})

const rsa = generateKeyPairSync('rsa', { modulusLength: 2_048 }).privateKey
test.each([
  [undefined, /options/],
  [{}, /keys/],
  [{ keys: {} }, /keys\.current/],
  [{ keys: { current: { id: 'a', key: randomBytes(31) } } }, /keys\.current\.key must be .* of 32 bytes/],
  [{ keys: { current: { id: 'a', key: randomBytes(16) } } }, /keys\.current\.key/],
  [{ keys: { current: { id: 'a', key: randomBytes(32).toString('latin1') } } }, /keys\.current\.key/],
  [{ keys: { current: { id: 'a', key: createSecretKey(randomBytes(16)) } } }, /keys\.current\.key/],
  [{ keys: { current: { id: 'a', key: rsa } } }, /keys\.current\.key/],
  [{ keys: { current: { id: '', key: randomBytes(32) } } }, /keys\.current\.id/],
  [{ keys: { current: { id: 'x'.repeat(33), key: randomBytes(32) } } }, /keys\.current\.id/],
  [{ keys: { current: { id: 'é', key: randomBytes(32) } } }, /keys\.current\.id/],
  [{ keys: { current: { key: randomBytes(32) } } }, /keys\.current\.id/],
  [{ keys: { current, previous: current } }, /keys\.previous must be an array/],
  [{ keys: { current, previous: [makeKey('b'), makeKey('b')] } }, /keys\.previous\[1\]\.id/],
  [{ keys: { current, previous: [current] } }, /keys\.previous\[0\]\.id/],
  [{ keys: { current, previous: ['b'] } }, /keys\.previous\[0\]/],
  [{ keys: { current }, readPlaintext: 'false' }, /readPlaintext/],
])('invalid options throw a TypeError that names the option and shows no key: %#', (options, message) => {
  const make = () => new EncryptedCertCache(new MemoryStore(), options as never)
  expect(make).toThrow(TypeError)
  expect(make).toThrow(message)
})

test('an invalid store throws a TypeError', () => {
  expect(() => new EncryptedCertCache({} as never, { keys: { current } })).toThrow(
    /store must be a CertCache/,
  )
})
