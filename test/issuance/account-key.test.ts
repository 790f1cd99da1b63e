import { expect, test } from 'vitest'
import { exportKey } from '../../src/certificates/private-key.js'
import type { CacheOperationOptions } from '../../src/index.js'
import { readOrCreateAccountKey } from '../../src/issuance/account-key.js'
import { CaStore } from '../../src/issuance/store/ca-store.js'
import { makeKey } from '../support/certificates.js'
import { LockingStore } from '../support/locking-store.js'
import { MemoryStore } from '../support/memory-store.js'
import { VirtualClock } from '../support/virtual-clock.js'

const name = 'acme_account+key'
const legacyName = 'acme_account.key'
const theirs = exportKey(makeKey())

/** Starts one machine. `beginAgain` stores another machine's key, then lets the first machine retry. */
function machine() {
  const store = new LockingStore()
  const clock = new VirtualClock()
  const key = readOrCreateAccountKey(new CaStore(store, '', clock), new AbortController().signal)
  const beginAgain = async () => {
    await expect.poll(() => clock.pending).toBe(1)
    store.values.set(name, Buffer.from(theirs))
    clock.advance(2_000)
  }
  return { store, key, beginAgain }
}

test('a new key is stored under the lock before it is returned', async () => {
  const { store, key } = machine()
  expect(await key).toBe(Buffer.from(store.values.get(name) as Uint8Array).toString())
  const [, , ...underLock] = store.take()
  expect(underLock).toEqual([`lock ${name}`, `get ${name}`, `put ${name}`, `unlock ${name}`])
})

test('a key whose lock is lost while it is created is not stored; another machine’s key is used', async () => {
  const { store, key, beginAgain } = machine()
  store.before = (operation) => {
    if (operation === 'get' && store.held(name)) store.lose(name)
  }
  await beginAgain()
  expect(await key).toBe(theirs)
  expect(store.take()).not.toContain(`put ${name}`)
})

test('a put whose lock is lost while it runs is aborted; another machine’s key is used', async () => {
  const { store, key, beginAgain } = machine()
  const put = store.put.bind(store)
  store.put = async (key, data, options?: { signal?: AbortSignal }) => {
    store.lose(name)
    options?.signal?.throwIfAborted()
    await put(key, data)
  }
  await beginAgain()
  expect(await key).toBe(theirs)
  expect(store.take()).not.toContain(`put ${name}`)
})

test('a key that an old version of autocert stored is used, and neither locked nor stored again', async () => {
  const store = new LockingStore()
  store.values.set(legacyName, Buffer.from(theirs))
  const caStore = new CaStore(store, '', new VirtualClock())
  const key = await readOrCreateAccountKey(caStore, new AbortController().signal)
  expect(key).toBe(theirs)
  expect(store.take()).toEqual([`get ${name}`, `get ${legacyName}`])
})

test('reads, and a put without a lock, are aborted by the caller’s signal', async () => {
  const store = new MemoryStore()
  const controller = new AbortController()
  const seen = new Set<unknown>()
  const [get, put] = [store.get.bind(store), store.put.bind(store)]
  store.get = (key, options?: CacheOperationOptions) => {
    seen.add(options?.signal)
    return get(key)
  }
  store.put = (key, data, options?: CacheOperationOptions) => {
    seen.add(options?.signal)
    return put(key, data)
  }
  await readOrCreateAccountKey(new CaStore(store, '', new VirtualClock()), controller.signal)
  expect(store.values.has(name)).toBe(true)
  expect(seen).toEqual(new Set([controller.signal]))
})
