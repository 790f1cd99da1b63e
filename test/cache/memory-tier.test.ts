import { expect, test } from 'vitest'
import { MemoryTier } from '../../src/cache/memory-tier.js'
import { LockingStore } from '../support/locking-store.js'
import { MemoryStore } from '../support/memory-store.js'
import { VirtualClock } from '../support/virtual-clock.js'

interface Value {
  readonly id: string
  readonly text: string
  readonly data: Uint8Array
}

const createValue = (id: string, text: string): Value => ({ id, text, data: Buffer.from(text) })
const nextTurn = () => new Promise(setImmediate)

/** A promise that the test resolves. */
function gate<T = void>() {
  let open = (_: T) => {}
  const opened = new Promise<T>((resolve) => {
    open = resolve
  })
  return { open: (value: T) => open(value), opened }
}

/** A tier whose values decode unless their text is `faulty`, and whose changes and decodings are recorded. */
function openTier<S extends MemoryStore>(store: S, max = 10) {
  const decoded: string[] = []
  const changes: string[] = []
  const tier = new MemoryTier<string, Value>({
    store,
    keyOf: (id) => id,
    max,
    clock: new VirtualClock(),
    onPutFailed: () => {},
    decode(id, data, inMemory) {
      const text = Buffer.from(data).toString()
      decoded.push(`${id} ${text}`)
      if (inMemory?.text === text) return inMemory
      return text === 'faulty' ? undefined : { id, text, data }
    },
    encode: ({ data }) => data,
    onChanged(value, former) {
      expect(tier.peek(value.id)).toBe(value)
      changes.push(`${value.id} ${former?.text} → ${value.text}`)
    },
  })
  const put = (id: string, text: string) => store.values.set(id, Buffer.from(text))
  return { store, tier, decoded, changes, put }
}

const acceptAll = { accept: () => true }
const acceptNone = { accept: () => false }
const produceNone = () => expect.unreachable('produced')

test('the bytes of a store read are decoded once, however many callers share it', async () => {
  const { store, tier, decoded, changes, put } = openTier(new MemoryStore())
  put('a.example', 'stored')
  const values = await Promise.all([
    ...Array.from({ length: 5 }, () => tier.get('a.example')),
    ...Array.from({ length: 5 }, () => tier.getOrPut('a.example', produceNone, acceptAll)),
  ])
  expect(new Set(values).size).toBe(1)
  expect(values[0]).toMatchObject({ text: 'stored' })
  expect(store.take()).toEqual(['get a.example'])
  expect(decoded).toEqual(['a.example stored'])
  expect(changes).toEqual(['a.example undefined → stored'])
  expect(await tier.get('a.example')).toBe(values[0])
  expect(decoded).toHaveLength(1)
})

test('bytes that are read again are decoded with the value in memory, which stays', async () => {
  const { tier, decoded, changes, put } = openTier(new MemoryStore())
  put('a.example', 'stored')
  const value = await tier.get('a.example')
  await tier.refresh('a.example', () => true)
  expect(tier.peek('a.example')).toBe(value)
  expect(decoded).toHaveLength(2)
  expect(changes).toHaveLength(1)
})

test('bytes that do not decode are a miss', async () => {
  const { tier, changes, put } = openTier(new MemoryStore())
  put('a.example', 'faulty')
  expect(await tier.get('a.example')).toBeUndefined()
  const produced = createValue('a.example', 'produced')
  expect(await tier.getOrPut('a.example', async () => produced, acceptAll)).toBe(produced)
  expect(changes).toEqual(['a.example undefined → produced'])
})

test('bytes that a store returns for two keys as the same object give each id a value of its own', async () => {
  const { store, tier } = openTier(new MemoryStore())
  const data = Buffer.from('shared')
  store.get = async () => data
  const a = await tier.get('a.example')
  const b = await tier.get('b.example')
  expect(a).toMatchObject({ id: 'a.example', data })
  expect(b).toMatchObject({ id: 'b.example', data })
  expect(tier.peek('a.example')).toBe(a)
  expect(tier.peek('b.example')).toBe(b)
})

test('onChanged is called once per change, with the former value, after memory has the new one', async () => {
  const { tier, changes, put } = openTier(new MemoryStore())
  put('a.example', 'one')
  await tier.get('a.example')
  put('a.example', 'two')
  await tier.refresh('a.example', () => false)
  await tier.refresh('a.example', () => true)
  await tier.refresh('a.example', () => true)
  const options = { accept: ({ text }: Value) => text === 'three' }
  const produce = async () => createValue('a.example', 'three')
  await Promise.all(Array.from({ length: 5 }, () => tier.getOrPut('a.example', produce, options)))
  await tier.get('a.example')
  expect(changes).toEqual(['a.example undefined → one', 'a.example one → two', 'a.example two → three'])
})

test('onProduced is called when memory has the value and the store does not', async () => {
  const { store, tier } = openTier(new MemoryStore())
  const seen: unknown[] = []
  await tier.getOrPut('a.example', async () => createValue('a.example', 'produced'), {
    ...acceptAll,
    onProduced: () => seen.push(tier.peek('a.example')?.text, store.values.get('a.example')),
  })
  expect(seen).toEqual(['produced', undefined])
  expect(store.values.has('a.example')).toBe(true)
})

test('a value that another caller accepts while a production runs enters memory, with one change', async () => {
  const { tier, changes, put } = openTier(new MemoryStore(), 1)
  put('a.example', 'stored')
  const { open, opened } = gate<Value>()
  const renewal = tier.getOrPut('a.example', () => opened, acceptNone)
  await nextTurn()
  // As when the due value was in memory, and has been evicted since.
  expect(tier.peek('a.example')).toBeUndefined()
  const values = await Promise.all(
    Array.from({ length: 5 }, () => tier.getOrPut('a.example', produceNone, acceptAll)),
  )
  expect(new Set(values).size).toBe(1)
  expect(tier.peek('a.example')).toBe(values[0])
  expect(changes).toEqual(['a.example undefined → stored'])
  open(createValue('a.example', 'produced'))
  await renewal
  expect(changes).toEqual(['a.example undefined → stored', 'a.example stored → produced'])
})

test('a caller that does not accept the stored value either waits for the production', async () => {
  const { tier, put } = openTier(new MemoryStore())
  put('a.example', 'stored')
  const { open, opened } = gate<Value>()
  const calls = [acceptNone, acceptNone].map((options) => tier.getOrPut('a.example', () => opened, options))
  await nextTurn()
  const produced = createValue('a.example', 'produced')
  open(produced)
  expect(await Promise.all(calls)).toEqual([produced, produced])
})

test('a produced value that was evicted before its lock was released is not replaced by the former one', async () => {
  const { store, tier, changes, put } = openTier(new LockingStore(), 1)
  put('a.example', 'old')
  put('b.example', 'other')
  const [unlocking, unlocked] = [gate(), gate()]
  store.before = (operation) => {
    if (operation !== 'unlock') return
    unlocking.open()
    return unlocked.opened
  }
  const renewal = tier.getOrPut('a.example', async () => createValue('a.example', 'new'), acceptNone)
  await unlocking.opened
  await tier.get('b.example')
  const found = tier.getOrPut('a.example', produceNone, acceptAll)
  await nextTurn()
  unlocked.open()
  expect(await found).toMatchObject({ text: 'new' })
  expect(await renewal).toMatchObject({ text: 'new' })
  expect(changes).not.toContain('a.example undefined → old')
})

/** A read that begins before a production ends. Its store answers reads and takes the put when the test says so. */
async function readDuringProduction() {
  const world = openTier(new MemoryStore())
  const { store, tier } = world
  const production = gate<Value>()
  const started = gate()
  const produceLater = () => {
    started.open()
    return production.opened
  }
  const renewal = tier.getOrPut('a.example', produceLater, acceptNone)
  await started.opened
  const reads: ((text: string) => void)[] = []
  const stored = gate()
  store.get = () => new Promise((resolve) => reads.push((text) => resolve(Buffer.from(text))))
  store.put = () => stored.opened
  const read = tier.get('a.example')
  await nextTurn()
  expect(reads).toHaveLength(1)
  const produce = async () => {
    production.open(createValue('a.example', 'new'))
    await nextTurn()
    expect(tier.peek('a.example')).toMatchObject({ text: 'new' })
  }
  /** Answers all later reads with the new value, and expects that nothing returned or remembers the old one. */
  const expectNew = async () => {
    store.get = async () => Buffer.from('new')
    expect(await read).toMatchObject({ text: 'new' })
    expect(await renewal).toMatchObject({ text: 'new' })
    expect(tier.peek('a.example')).toMatchObject({ text: 'new' })
    expect(world.changes).toEqual(['a.example undefined → new'])
  }
  return { ...world, reads, produce, stored, expectNew }
}

test('a read that began before a value was produced returns that value while its put is under way', async () => {
  const { reads, produce, stored, expectNew } = await readDuringProduction()
  await produce()
  reads[0]?.('old')
  await nextTurn()
  // The first read is stale; the second one began before the put ended.
  expect(reads).toHaveLength(2)
  reads[1]?.('old')
  await nextTurn()
  stored.open()
  await expectNew()
})

test.each([0, 1, 2, 3, 4, 5, 6, 7, 8])(
  'a read that ends %i microtasks before or after the put never replaces the produced value',
  async (microtasks) => {
    for (const isReadFirst of [true, false]) {
      const { reads, produce, stored, expectNew } = await readDuringProduction()
      await produce()
      reads[0]?.('old')
      await nextTurn()
      const endRead = () => reads[1]?.('old')
      const [first, second] = isReadFirst ? [endRead, stored.open] : [stored.open, endRead]
      first()
      for (let count = 0; count < microtasks; count++) await undefined
      second()
      await nextTurn()
      // A read that ended after the put is repeated.
      reads[2]?.('new')
      await expectNew()
    }
  },
)

test('a read that ends after the value was produced, in the same tick, does not replace it', async () => {
  const { reads, produce, stored, expectNew } = await readDuringProduction()
  const produced = produce()
  reads[0]?.('old')
  await produced
  stored.open()
  await nextTurn()
  reads[1]?.('new')
  await expectNew()
})
