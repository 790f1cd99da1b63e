import assert from 'node:assert/strict'
import type { CertCacheEntry, ListableCertCache } from '../../cache/cert-cache.js'
import { asListable, bytes, forAll } from './assertions.js'
import type { Check } from './types.js'

async function entriesOf(store: ListableCertCache): Promise<CertCacheEntry[]> {
  const entries: CertCacheEntry[] = []
  for await (const entry of store.list()) entries.push(entry)
  return entries
}

const namesOf = async (store: ListableCertCache) => (await entriesOf(store)).map(({ name }) => name).sort()

const dayMs = 24 * 3_600_000

export const listChecks: readonly Check[] = [
  {
    name: 'list yields each key once, with its size in bytes and the time of its last write',
    async run({ store, peer }) {
      const other = asListable(await peer())
      assert.deepEqual(await entriesOf(other), [], 'list of an empty store must yield nothing')
      const sizes = new Map([
        ['a.example', 0],
        ['A.example', 3],
        ['a.example+rsa', 70_000],
        ['%2e ', 1],
      ])
      for (const [key, size] of sizes) await store.put(key, new Uint8Array(size))
      await store.put('deleted.example', bytes('gone'))
      await store.delete('deleted.example')
      const entries = await entriesOf(other)
      assert.deepEqual(
        entries.map(({ name }) => name).sort(),
        [...sizes.keys()].sort(),
        'list must yield every key once',
      )
      for (const { name, size, modified } of entries) {
        assert.equal(size, sizes.get(name), `list must yield the size of ${JSON.stringify(name)} in bytes`)
        assert.ok(modified instanceof Date, 'list must yield the time of the last write as a Date')
        // The store's clock may differ; a wrong unit differs by more than a day.
        assert.ok(
          Math.abs(modified.getTime() - Date.now()) < dayMs,
          'list must yield the time of the last write',
        )
      }
    },
  },
  {
    name: 'list yields all of 1,050 keys, each once',
    async run({ store }) {
      const keys = Array.from(
        { length: 1_050 },
        (_, index) => `host-${String(index).padStart(4, '0')}.example`,
      )
      await forAll(keys, (key) => store.put(key, bytes(key)))
      assert.deepEqual(await namesOf(asListable(store)), keys, 'list must yield every key once')
      for await (const _ of asListable(store).list()) break
      assert.deepEqual(
        await namesOf(asListable(store)),
        keys,
        'list must yield every key once after an earlier listing was ended early',
      )
    },
  },
]
