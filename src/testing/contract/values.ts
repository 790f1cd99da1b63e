import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { isListable, isLocking } from '../../cache/cert-cache.js'
import { assertStored, bytes, cutOff, forAll, type Outcome, outcomeOf, pause } from './assertions.js'
import type { Check, ContractPlace } from './types.js'

const key = 'a.example'

export const valueChecks: readonly Check[] = [
  {
    name: 'get returns undefined for a key that does not exist',
    async run({ store }) {
      await assertStored(store, key, undefined, 'before any put')
      await store.put('b.example', bytes('another'))
      await assertStored(store, key, undefined, 'after put of another key')
    },
  },
  {
    name: 'get returns the last value that put wrote, on every handle',
    async run({ store, peer }) {
      const other = await peer()
      await assertStored(other, key, undefined, 'before any put')
      await store.put(key, bytes('one'))
      await assertStored(store, key, bytes('one'), 'after put')
      await assertStored(other, key, bytes('one'), 'on another handle that has read the miss, after put')
      await other.put(key, bytes('two'))
      await assertStored(
        store,
        key,
        bytes('two'),
        'on another handle that has read an earlier value, after put',
      )
      await other.delete(key)
      await assertStored(store, key, undefined, 'on another handle that has read the value, after delete')
      await store.put(key, bytes('three'))
      await assertStored(
        other,
        key,
        bytes('three'),
        'on the handle that deleted it, after put on another handle',
      )
    },
  },
  {
    name: 'put replaces the whole value, by a shorter one and by a longer one',
    async run({ store, peer }) {
      const other = await peer()
      for (const size of [5_000, 10, 0, 70_000, 69_999]) {
        const value = randomBytes(size)
        await store.put(key, value)
        await assertStored(other, key, value, 'after it was replaced')
      }
    },
  },
  {
    name: 'delete removes a key, and resolves for a key that does not exist',
    async run({ store, peer }) {
      const other = await peer()
      await store.delete(key)
      await store.put(key, bytes('one'))
      await store.put('b.example', bytes('two'))
      await other.delete(key)
      await assertStored(store, key, undefined, 'after delete')
      await store.delete(key)
      await assertStored(store, 'b.example', bytes('two'), 'after delete of another key')
      await store.put(key, bytes('again'))
      await assertStored(other, key, bytes('again'), 'after delete and put')
    },
  },
  {
    name: 'get returns values of 0 bytes to 1 MiB byte for byte',
    async run({ store, peer }) {
      const other = await peer()
      const everyByte = Uint8Array.from({ length: 256 }, (_, index) => index)
      const texts = [bytes('\r\n\r\n'), bytes('\0'), bytes('ÿ–'), Uint8Array.of(0xff, 0xfe, 0xc3)]
      const sizes = [0, 1, 4_096, 65_535, 65_536, 1 << 20].map((size) => randomBytes(size))
      for (const value of [everyByte, ...texts, ...sizes]) {
        await store.put(key, value)
        await assertStored(other, key, value, `after put of ${value.byteLength} bytes`)
      }
    },
  },
  {
    name: 'put writes a view of a buffer, not the whole buffer',
    async run({ store }) {
      const view = new Uint8Array(bytes('before the value after')).subarray(7, 16)
      await store.put(key, view)
      await assertStored(store, key, bytes('the value'), 'after put of a part of a buffer')
    },
  },
  {
    name: 'put and get copy bytes: a caller that changes them does not change the stored value',
    async run({ store }) {
      const written = new Uint8Array(bytes('value'))
      await store.put(key, written)
      written.fill(0)
      await assertStored(
        store,
        key,
        bytes('value'),
        'after the caller overwrote the bytes that it passed to put',
      )
      const read = await store.get(key)
      read?.fill(0)
      await assertStored(store, key, bytes('value'), 'after the caller overwrote the bytes that get returned')
    },
  },
  {
    name: 'concurrent writes never mix: each read returns one complete value',
    async run({ store, peer }) {
      const other = await peer()
      // Each value has its own length and repeats its own index, so a mixture of two is visible.
      const lengths = Array.from({ length: 40 }, (_, index) => 1 + ((index * 7_919) % 40) * 3_001)
      const value = (index: number) => Buffer.alloc(lengths[index] as number, index)
      await store.put(key, value(0))
      let writing = true
      const read = async (handle: typeof store) => {
        let reads = 0
        do {
          const data = await handle.get(key)
          assert.ok(data !== undefined, 'a key that is being overwritten must never be a miss')
          const index = data[0] as number
          assert.ok(data.byteLength > 0, 'a read during writes returned an empty value')
          assert.ok(
            index < lengths.length && Buffer.compare(data, value(index)) === 0,
            'a read during writes returned a mixture of two values, or a part of one',
          )
          // Reads from memory alone would never let the I/O of the writes continue.
          if (++reads % 100 === 0) await nextTurn()
        } while (writing)
      }
      const readers = Promise.all([read(store), read(other)])
      const indexes = lengths.map((_, index) => index)
      const writes = Promise.all([
        forAll(indexes, (index) => store.put(key, value(index))),
        forAll(indexes, (index) => other.put(key, value(index))),
      ]).finally(() => {
        writing = false
      })
      await Promise.all([readers, writes])
      await Promise.all([read(store), read(other)])
    },
  },
  {
    name: 'concurrent operations on different keys do not affect each other',
    async run({ store, peer }) {
      const other = await peer()
      const keys = Array.from({ length: 60 }, (_, index) => `host-${index}.example`)
      await forAll(keys, (name) => store.put(name, bytes(name)))
      await forAll(keys, async (name) => {
        if (name.includes('0')) await other.delete(name)
        else await assertStored(other, name, bytes(name), 'during other operations')
      })
      await forAll(keys, (name) =>
        assertStored(store, name, name.includes('0') ? undefined : bytes(name), 'after other operations'),
      )
    },
  },
  {
    name: 'every operation with an aborted signal rejects with its reason',
    async run(place) {
      const reason = new Error('the caller has gone')
      const options = { signal: AbortSignal.abort(reason) }
      const assertRejected = async () => {
        for (const [name, outcome] of await everyOperation(place, options)) {
          assert.ok('error' in outcome, `${name} with an aborted signal must reject`)
          assert.equal(outcome.error, reason, `${name} with an aborted signal must reject with its reason`)
        }
      }
      // First on an empty store, where list has nothing to read.
      await assertRejected()
      await place.store.put(key, bytes('value'))
      await assertRejected()
    },
  },
  {
    name: 'an operation that is aborted while it runs either completes, or rejects with the reason',
    async run({ store }) {
      await store.put(key, bytes('value'))
      const abortAfter = async <T>(start: (signal: AbortSignal) => Promise<T>, turns: number) => {
        const controller = new AbortController()
        const reason = new Error('the caller has gone')
        const pending = outcomeOf(() => start(controller.signal))
        for (let turn = 0; turn < turns; turn++) await new Promise(setImmediate)
        controller.abort(reason)
        const outcome = await pending
        if ('error' in outcome)
          assert.equal(
            outcome.error,
            reason,
            'an aborted operation must reject with the reason of its signal',
          )
        return outcome
      }
      for (const turns of [0, 1, 2, 4, 8]) {
        const read = await abortAfter((signal) => store.get(key, { signal }), turns)
        if ('value' in read)
          assert.equal(
            String(read.value && Buffer.from(read.value)),
            'value',
            'an aborted get must not return a miss',
          )
        await abortAfter((signal) => store.put(key, bytes('value'), { signal }), turns)
        await abortAfter((signal) => store.delete('b.example', { signal }), turns)
        await assertStored(store, key, bytes('value'), 'after aborted operations')
      }
    },
  },
]

/** An aborted operation must settle within this time, although the place does not respond. */
const maxAbortMs = 2_000
/** Long enough for the operations to send their requests. */
const requestMs = 100
const stepMs = 20

/** Waits until all operations have settled, for at most `ms`. A stall of this process counts as one step. */
async function settle(pending: ReadonlySet<string>, ms: number): Promise<void> {
  for (let waitedMs = 0; waitedMs < ms && pending.size > 0; waitedMs += stepMs) await pause(stepMs)
}

/** The cases of a store that cannot reach its place. */
export const cutOffChecks: readonly Check[] = [
  {
    name: 'after cutOff, an aborted operation rejects within 2 s, with the reason of its signal',
    async run(place) {
      await place.store.put(key, bytes('value'))
      await cutOff(place)
      const controller = new AbortController()
      const reason = new Error('the caller has gone')
      const pending = new Set<string>()
      const outcomes = everyOperation(place, { signal: controller.signal }, pending)
      await settle(pending, requestMs)
      const aborted = new Set(pending)
      controller.abort(reason)
      await settle(pending, maxAbortMs)
      const late = [...pending].join(', ')
      assert.equal(
        late,
        '',
        `these operations must reject within ${maxAbortMs / 1_000} s after their signal aborts`,
      )
      for (const [name, outcome] of await outcomes) {
        assert.ok('error' in outcome, `${name} after cutOff must reject, but resolved`)
        if (aborted.has(name))
          assert.equal(outcome.error, reason, `an aborted ${name} must reject with the reason of its signal`)
      }
    },
  },
  {
    name: 'after cutOff, every operation rejects within 30 s: a failure is never a miss',
    async run(place) {
      await place.store.put(key, bytes('value'))
      await cutOff(place)
      const start = performance.now()
      for (const [name, outcome] of await everyOperation(place)) {
        assert.ok('error' in outcome, `${name} after cutOff must reject, but resolved`)
        assert.ok(outcome.error instanceof Error, `${name} after cutOff must reject with an Error`)
      }
      assert.ok(performance.now() - start < 30_000, 'every operation after cutOff must reject within 30 s')
      const other = await place.peer()
      await assertStored(other, key, bytes('value'), 'on a handle that is not cut off')
    },
  },
]

/**
 * Starts every operation at once and returns the outcomes.
 * @param pending the operations that have not settled yet
 */
function everyOperation(
  { store }: ContractPlace,
  options?: { signal: AbortSignal },
  pending = new Set<string>(),
) {
  const operations: [string, () => Promise<unknown>][] = [
    ['get', () => store.get(key, options)],
    ['get of an absent key', () => store.get('absent.example', options)],
    ['put', () => store.put('b.example', bytes('value'), options)],
    ['delete', () => store.delete('absent.example', options)],
  ]
  if (isLocking(store)) operations.push(['tryLock', () => store.tryLock(key, options)])
  if (isListable(store)) {
    operations.push([
      'list',
      async () => {
        for await (const _ of store.list(options));
      },
    ])
  }
  return Promise.all(
    operations.map(async ([name, run]): Promise<[string, Outcome<unknown>]> => {
      pending.add(name)
      const outcome = await outcomeOf(run)
      pending.delete(name)
      return [name, outcome]
    }),
  )
}
