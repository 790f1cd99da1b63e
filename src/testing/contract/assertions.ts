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

/** Asserts that `get` resolves with these bytes, or with `undefined` for a miss. */
export async function assertStored(
  store: CertCache,
  key: string,
  expected: Uint8Array | undefined,
  when: string,
): Promise<void> {
  const actual = await store.get(key)
  const quotedKey = JSON.stringify(key)
  if (expected === undefined) {
    assert.equal(actual, undefined, `get(${quotedKey}) ${when} must resolve with undefined`)
    return
  }
  assert.ok(
    actual !== undefined,
    `get(${quotedKey}) ${when} must resolve with the value, and did with undefined`,
  )
  assert.ok(actual instanceof Uint8Array, `get(${quotedKey}) must resolve with a Uint8Array`)
  const isEqual = Buffer.compare(actual, expected) === 0
  const lengths = `${expected.byteLength} bytes were written, ${actual.byteLength} came back`
  assert.ok(isEqual, `get(${quotedKey}) ${when} must resolve with exactly what was put: ${lengths}`)
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
  assert.ok(isLocking(store), "the store has no tryLock: leave its cases out by without: ['locks']")
  return store
}

export function asListable(store: CertCache): ListableCertCache {
  assert.ok(isListable(store), "the store has no list: leave its cases out by without: ['list']")
  return store
}

export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

export async function cutOff(place: ContractPlace): Promise<void> {
  assert.ok(place.cutOff, "open() gave no cutOff: leave its cases out by without: ['cutOff']")
  await place.cutOff()
}
