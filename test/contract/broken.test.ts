// Stores that break one promise each: the contract has to find every one of them.
import { AssertionError } from 'node:assert'
import { describe, expect, test } from 'vitest'
import type { CacheOperationOptions, CertCache } from '../../src/index.js'
import { certCacheContract, MemoryCertCache } from '../../src/testing/index.js'

type Options = CacheOperationOptions | undefined
type Broken = new (inner: MemoryCertCache) => CertCache

/** Passes everything on. */
class Through implements CertCache {
  constructor(protected readonly inner: MemoryCertCache) {}
  get(key: string, options?: Options): Promise<Uint8Array | undefined> {
    return this.inner.get(key, options)
  }
  put(key: string, data: Uint8Array, options?: Options) {
    return this.inner.put(key, data, options)
  }
  delete(key: string, options?: Options) {
    return this.inner.delete(key, options)
  }
  list(options?: Options) {
    return this.inner.list(options)
  }
  tryLock(name: string, options?: Options) {
    return this.inner.tryLock(name, options)
  }
}

/** Another key for a key, as a store that can't represent some of them makes. */
const keyed = (change: (key: string) => string): Broken =>
  class extends Through {
    override get = (key: string, options: Options) => this.inner.get(change(key), options)
    override put = (key: string, data: Uint8Array, options: Options) =>
      this.inner.put(change(key), data, options)
    override delete = (key: string, options: Options) => this.inner.delete(change(key), options)
  }

const broken: readonly [what: string, part: RegExp, store: Broken][] = [
  [
    'gives no bytes for a miss',
    /never written is a miss/,
    class extends Through {
      override get = async (key: string, options: Options) =>
        (await this.inner.get(key, options)) ?? new Uint8Array()
    },
  ],
  [
    'gives a miss for a failure',
    /failure is never a miss/,
    class extends Through {
      override get = (key: string, options: Options) => this.inner.get(key, options).catch(() => undefined)
    },
  ],
  [
    'gives a miss for no bytes',
    /0 bytes to 1 MB/,
    class extends Through {
      override async get(key: string, options: Options) {
        const value = await this.inner.get(key, options)
        return value?.byteLength ? value : undefined
      }
    },
  ],
  [
    'keeps text',
    /opaque bytes/,
    class extends Through {
      override put = (key: string, data: Uint8Array, options: Options) =>
        this.inner.put(key, Buffer.from(new TextDecoder().decode(data)), options)
    },
  ],
  [
    'writes over the beginning',
    /replaces the whole value/,
    class extends Through {
      override async put(key: string, data: Uint8Array, options: Options) {
        const former = await this.inner.get(key, options)
        const rest = former?.subarray(data.byteLength) ?? new Uint8Array()
        await this.inner.put(key, Buffer.concat([data, rest]), options)
      }
    },
  ],
  [
    'writes the buffer behind a view',
    /the view it is given/,
    class extends Through {
      override put = (key: string, data: Uint8Array, options: Options) =>
        this.inner.put(key, new Uint8Array(data.buffer), options)
    },
  ],
  [
    'keeps what it was given',
    /the caller’s own/,
    class extends Through {
      readonly values = new Map<string, Uint8Array>()
      override get = async (key: string) => this.values.get(key)
      override async put(key: string, data: Uint8Array) {
        this.values.set(key, data)
      }
    },
  ],
  [
    'writes in two steps',
    /never tear/,
    class extends Through {
      override async put(key: string, data: Uint8Array, options: Options) {
        await this.inner.put(key, data.subarray(0, data.byteLength / 2), options)
        await this.inner.put(key, data, options)
      }
    },
  ],
  [
    'deletes before it writes',
    /never tear/,
    class extends Through {
      override async put(key: string, data: Uint8Array, options: Options) {
        await this.inner.delete(key, options)
        await this.inner.put(key, data, options)
      }
    },
  ],
  [
    'rejects the deletion of what is absent',
    /a deleted key is a miss/,
    class extends Through {
      override async delete(key: string, options: Options) {
        if (!(await this.inner.get(key, options))) throw new Error('there is no such key')
        await this.inner.delete(key, options)
      }
    },
  ],
  [
    'has a memory of its own',
    /on every handle/,
    class extends Through {
      readonly read = new Map<string, Uint8Array | undefined>()
      override async get(key: string, options: Options) {
        if (!this.read.has(key)) this.read.set(key, await this.inner.get(key, options))
        return this.read.get(key)
      }
      override async put(key: string, data: Uint8Array) {
        this.read.set(key, data)
      }
    },
  ],
  [
    'does not look at signals',
    /an aborted signal rejects/,
    class extends Through {
      override get = (key: string) => this.inner.get(key)
    },
  ],
  [
    'calls an aborted read a miss',
    /aborted on its way/,
    class extends Through {
      override get = (key: string, options: Options) => this.inner.get(key, options).catch(() => undefined)
    },
  ],
  ['ignores the case of keys', /upper and lower case/, keyed((key) => key.toLowerCase())],
  ['decodes keys', /means something to/, keyed((key) => key.replace(/%2e/gi, '.').replace(/^\.+$/, 'x'))],
  ['trims keys', /every allowed character/, keyed((key) => key.trim() || 'empty')],
  ['cuts long keys', /as long as a host name/, keyed((key) => key.slice(0, 200))],
  [
    'takes keys that are not allowed',
    /outside the alphabet/,
    keyed((key) => key?.replace?.('/', '-') ?? 'x'),
  ],
  [
    'lists a part',
    /every key of many/,
    class extends Through {
      override async *list(options: Options) {
        let left = 1_000
        for await (const entry of this.inner.list(options)) if (left-- > 0) yield entry
      }
    },
  ],
  [
    'gives one lock to all',
    /exclusive|one gets the lock|one after the other/,
    class extends Through {
      override tryLock = async () => ({ signal: new AbortController().signal, release: async () => {} })
    },
  ],
  [
    'asks and then takes',
    /of many tries at once/,
    class extends Through {
      override async tryLock(name: string, options: Options) {
        if (await this.inner.get(`${name}+lock`, options)) return undefined
        await this.inner.put(`${name}+lock`, new Uint8Array(), options)
        return {
          signal: new AbortController().signal,
          release: () => this.inner.delete(`${name}+lock`),
        }
      }
    },
  ],
  [
    'lets anybody release',
    /its owner only/,
    class extends Through {
      override async tryLock(name: string, options: Options) {
        if (await this.inner.get(`${name}+lock`, options)) return undefined
        await this.inner.put(`${name}+lock`, new Uint8Array(), options)
        return {
          signal: new AbortController().signal,
          release: () => this.inner.delete(`${name}+lock`),
        }
      }
    },
  ],
  [
    'keeps a lock in the value of its name',
    /disturbs nothing/,
    class extends Through {
      override async tryLock(name: string, options: Options) {
        await this.inner.put(name, new Uint8Array(), options)
        return this.inner.tryLock(name, options)
      }
    },
  ],
  [
    'has one lock for all names',
    /every key can be the name of a lock/,
    class extends Through {
      override tryLock = (_: string, options: Options) => this.inner.tryLock('lock', options)
    },
  ],
  [
    'never says that a lock is lost',
    /holder that has gone/,
    class extends Through {
      override async tryLock(name: string, options: Options) {
        const lock = await this.inner.tryLock(name, options)
        return lock && { signal: new AbortController().signal, release: () => lock.release() }
      }
    },
  ],
]

describe.concurrent('a store is found out that', () => {
  test.for(broken)('%s', async ([_, part, Store]) => {
    const cases = certCacheContract({
      async open() {
        const memory = new MemoryCertCache()
        return {
          store: new Store(memory),
          peer: async () => new Store(memory.peer()),
          cutOff: () => memory.cutOff(),
          close: async () => {},
        }
      },
    }).filter(({ name }) => part.test(name))
    expect(cases.length).toBeGreaterThan(0)
    for (const { run } of cases) {
      const error = await run().then(
        () => undefined,
        (thrown: unknown) => thrown,
      )
      expect(error).toBeInstanceOf(AssertionError)
      // Found out by the contract, and not by a slip in the store above.
      expect((error as Error).message).not.toMatch(/(Type|Reference)Error/)
    }
  })
})

test('parts that a store lacks are left out where that is said, and fail where it is not', async () => {
  class Plain implements CertCache {
    readonly #inner = new MemoryCertCache()
    get = (key: string, options?: Options) => this.#inner.get(key, options)
    put = (key: string, data: Uint8Array, options?: Options) => this.#inner.put(key, data, options)
    delete = (key: string, options?: Options) => this.#inner.delete(key, options)
  }
  const open = async () => {
    const store = new Plain()
    return { store, peer: async () => store, close: async () => {} }
  }
  for (const { run } of certCacheContract({ open, without: ['locks', 'list', 'cutOff'] })) await run()
  const failures: string[] = []
  for (const { run } of certCacheContract({ open })) {
    await run().catch((error: Error) => failures.push(error.message))
  }
  for (const part of ['locks', 'list', 'cutOff']) {
    expect(failures).toContainEqual(expect.stringContaining(`without: ['${part}']`))
  }
})

test('what a store throws is told by the case, and its place is closed', async () => {
  let closed = 0
  const [first] = certCacheContract({
    async open() {
      const store = new MemoryCertCache()
      store.get = () => Promise.reject(new TypeError('not connected'))
      return {
        store,
        peer: async () => store.peer(),
        close: async () => {
          closed += 1
        },
      }
    },
  })
  await expect(first?.run()).rejects.toThrow(/never written.*failed with TypeError: not connected/)
  expect(closed).toBe(1)
})
