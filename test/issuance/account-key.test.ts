import { expect, test } from 'vitest'
import { exportKey } from '../../src/certificates/private-key.js'
import { storageLayout } from '../../src/certificates/storage-layout.js'
import { readOrCreateAccountKey } from '../../src/issuance/account-key.js'
import { makeKey } from '../support/certificates.js'
import { LockingStore } from '../support/locking-store.js'
import { VirtualClock } from '../support/virtual-clock.js'

const layout = storageLayout('https://ca.example/directory', 'ecdsa-p256', '')
const name = layout.accountKey
const theirs = exportKey(makeKey())

/** One machine at work. Should it lose the lock, another has stored a key by the time that it looks again. */
function machine() {
  const store = new LockingStore()
  const clock = new VirtualClock()
  const key = readOrCreateAccountKey(store, layout, clock, new AbortController().signal)
  const beginAgain = async () => {
    await expect.poll(() => clock.pending).toBe(1)
    store.values.set(name, Buffer.from(theirs))
    clock.advance(2_000)
  }
  return { store, key, beginAgain }
}

test('the key that is made is stored first, under the lock', async () => {
  const { store, key } = machine()
  expect(await key).toBe(Buffer.from(store.values.get(name) as Uint8Array).toString())
  const [, , ...underLock] = store.take()
  expect(underLock).toEqual([`lock ${name}`, `get ${name}`, `put ${name}`, `unlock ${name}`])
})

test('the lock is lost while the key is made: it is not stored, and another machine’s is taken', async () => {
  const { store, key, beginAgain } = machine()
  store.before = (operation) => {
    if (operation === 'get' && store.held(name)) store.lose(name)
  }
  await beginAgain()
  expect(await key).toBe(theirs)
  expect(store.take()).not.toContain(`put ${name}`)
})

test('the lock is lost while the key is put: that is given up, and another machine’s is taken', async () => {
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
