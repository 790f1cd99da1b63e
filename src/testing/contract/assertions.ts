import assert from 'node:assert/strict'
import {
  type CertCache,
  isListable,
  isLocking,
  type ListableCertCache,
  type LockingCertCache,
} from '../../cache/cert-cache.js'
import type { ContractPlace } from './types.js'

export const bytes = (text: string): Uint8Array => Buffer.from(text)

/** Asserts that `get` returns these bytes, or `undefined` for a miss. */
export async function assertStored(
  store: CertCache,
  key: string,
  expected: Uint8Array | undefined,
  when: string,
): Promise<void> {
  const actual = await store.get(key)
  const quotedKey = JSON.stringify(key)
  if (expected === undefined) {
    assert.equal(actual, undefined, `get(${quotedKey}) ${when} must return undefined`)
    return
  }
  assert.ok(actual !== undefined, `get(${quotedKey}) ${when} must return the value, but returned undefined`)
  assert.ok(actual instanceof Uint8Array, `get(${quotedKey}) must return a Uint8Array`)
  const isEqual = Buffer.compare(actual, expected) === 0
  const lengths = `put wrote ${expected.byteLength} bytes, get returned ${actual.byteLength}`
  assert.ok(isEqual, `get(${quotedKey}) ${when} must return exactly the bytes that put wrote: ${lengths}`)
}

export type Outcome<T> = { readonly value: T } | { readonly error: unknown }

/** Returns the outcome of an operation; a synchronous throw counts as a rejection. */
export async function outcomeOf<T>(operation: () => Promise<T>): Promise<Outcome<T>> {
  try {
    return { value: await operation() }
  } catch (error) {
    return { error }
  }
}

/** Applies an operation to all items, up to 16 at a time. */
export async function forAll<T>(items: readonly T[], operation: (item: T) => Promise<void>): Promise<void> {
  const queue = items.values()
  const worker = async () => {
    for (const item of queue) await operation(item)
  }
  await Promise.all(Array.from({ length: 16 }, worker))
}

export function asLocking(store: CertCache): LockingCertCache {
  assert.ok(
    isLocking(store),
    "the store has no tryLock method. Pass without: ['locks'] to skip the cases of locks",
  )
  return store
}

export function asListable(store: CertCache): ListableCertCache {
  assert.ok(
    isListable(store),
    "the store has no list method. Pass without: ['list'] to skip the cases of list",
  )
  return store
}

export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

export async function cutOff(place: ContractPlace): Promise<void> {
  assert.ok(
    place.cutOff,
    "the object that open() returns has no cutOff method. Pass without: ['cutOff'] to skip the cases of cutOff",
  )
  await place.cutOff()
}
