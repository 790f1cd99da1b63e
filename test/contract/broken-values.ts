import { type BrokenStore, ForwardingStore, type Options, type StoreClass } from './broken-store.js'

/** A store that changes keys, as one does that cannot represent all of them. */
const withKeys = (change: (key: string) => string): StoreClass =>
  class extends ForwardingStore {
    override get = (key: string, options: Options) => this.inner.get(change(key), options)
    override put = (key: string, data: Uint8Array, options: Options) =>
      this.inner.put(change(key), data, options)
    override delete = (key: string, options: Options) => this.inner.delete(change(key), options)
  }

/** Stores and returns the same bytes, without a copy. */
class SharingStore extends ForwardingStore {
  readonly #values = new Map<string, Uint8Array>()
  override get = async (key: string) => this.#values.get(key)
  override async put(key: string, data: Uint8Array) {
    this.#values.set(key, data)
  }
}

export const brokenValues: readonly BrokenStore[] = [
  [
    'returns an empty value for a miss',
    /^get returns undefined/,
    class extends ForwardingStore {
      override get = async (key: string, options: Options) =>
        (await this.inner.get(key, options)) ?? new Uint8Array()
    },
  ],
  [
    'returns a miss for a failure',
    /failure is never a miss/,
    class extends ForwardingStore {
      override get = (key: string, options: Options) => this.inner.get(key, options).catch(() => undefined)
    },
  ],
  [
    'returns a miss for an empty value',
    /0 bytes to 1 MiB/,
    class extends ForwardingStore {
      override async get(key: string, options: Options) {
        const value = await this.inner.get(key, options)
        return value?.byteLength ? value : undefined
      }
    },
  ],
  [
    'stores values as text',
    /byte for byte/,
    class extends ForwardingStore {
      override put = (key: string, data: Uint8Array, options: Options) =>
        this.inner.put(key, Buffer.from(new TextDecoder().decode(data)), options)
    },
  ],
  [
    'overwrites only the beginning of a value',
    /replaces the whole value/,
    class extends ForwardingStore {
      override async put(key: string, data: Uint8Array, options: Options) {
        const previous = await this.inner.get(key, options)
        const rest = previous?.subarray(data.byteLength) ?? new Uint8Array()
        await this.inner.put(key, Buffer.concat([data, rest]), options)
      }
    },
  ],
  [
    'stores the buffer behind a view',
    /a view of a buffer/,
    class extends ForwardingStore {
      override put = (key: string, data: Uint8Array, options: Options) =>
        this.inner.put(key, new Uint8Array(data.buffer), options)
    },
  ],
  ['stores the caller’s bytes without a copy', /copy bytes/, SharingStore],
  [
    'returns its own buffer',
    /copy bytes/,
    class extends SharingStore {
      override async put(key: string, data: Uint8Array) {
        await super.put(key, Uint8Array.from(data))
      }
    },
  ],
  [
    'lists times in seconds, not milliseconds',
    /time of its last write/,
    class extends ForwardingStore {
      override async *list(options: Options) {
        for await (const { modified, ...entry } of this.inner.list(options))
          yield { ...entry, modified: new Date(modified.getTime() / 1_000) }
      }
    },
  ],
  [
    'writes a value in two steps',
    /never mix/,
    class extends ForwardingStore {
      override async put(key: string, data: Uint8Array, options: Options) {
        await this.inner.put(key, data.subarray(0, data.byteLength / 2), options)
        await this.inner.put(key, data, options)
      }
    },
  ],
  [
    'deletes a value before it writes the next',
    /never mix/,
    class extends ForwardingStore {
      override async put(key: string, data: Uint8Array, options: Options) {
        await this.inner.delete(key, options)
        await this.inner.put(key, data, options)
      }
    },
  ],
  [
    'rejects the deletion of an absent key',
    /delete removes a key/,
    class extends ForwardingStore {
      override async delete(key: string, options: Options) {
        if (!(await this.inner.get(key, options))) throw new Error('there is no such key')
        await this.inner.delete(key, options)
      }
    },
  ],
  [
    'writes only to its own memory',
    /on every handle/,
    class extends ForwardingStore {
      readonly values = new Map<string, Uint8Array | undefined>()
      override async get(key: string, options: Options) {
        if (!this.values.has(key)) this.values.set(key, await this.inner.get(key, options))
        return this.values.get(key)
      }
      override async put(key: string, data: Uint8Array) {
        this.values.set(key, data)
      }
    },
  ],
  [
    'ignores signals',
    /with an aborted signal/,
    class extends ForwardingStore {
      override get = (key: string) => this.inner.get(key)
    },
  ],
  [
    'checks the signal only before it starts',
    /rejects within 2 s/,
    class extends ForwardingStore {
      override async get(key: string, options: Options) {
        options?.signal?.throwIfAborted()
        return this.inner.get(key).catch(() => new Promise<undefined>(() => {}))
      }
    },
  ],
  [
    'caches misses',
    /on every handle/,
    class extends ForwardingStore {
      readonly misses = new Set<string>()
      override async get(key: string, options: Options) {
        if (this.misses.has(key)) return undefined
        const value = await this.inner.get(key, options)
        if (!value) this.misses.add(key)
        return value
      }
      override async put(key: string, data: Uint8Array, options: Options) {
        await this.inner.put(key, data, options)
        this.misses.delete(key)
      }
    },
  ],
  [
    'caches values',
    /on every handle/,
    class extends ForwardingStore {
      readonly values = new Map<string, Uint8Array>()
      override async get(key: string, options: Options) {
        const value = this.values.get(key) ?? (await this.inner.get(key, options))
        if (value) this.values.set(key, value)
        return value
      }
    },
  ],
  [
    'returns a miss for an aborted read',
    /aborted while it runs/,
    class extends ForwardingStore {
      override get = (key: string, options: Options) => this.inner.get(key, options).catch(() => undefined)
    },
  ],
  ['ignores the case of keys', /differ only in case/, withKeys((key) => key.toLowerCase())],
  ['decodes keys', /special meaning/, withKeys((key) => key.replace(/%2e/gi, '.').replace(/^\.+$/, 'x'))],
  ['trims keys', /every allowed character/, withKeys((key) => key.trim() || 'empty')],
  ['truncates long keys', /as long as a host name/, withKeys((key) => key.slice(0, 200))],
  ['accepts invalid keys', /outside the alphabet/, withKeys((key) => key?.replace?.('/', '-') ?? 'x')],
  [
    'lists only the first 1,000 keys',
    /all of 1,050 keys/,
    class extends ForwardingStore {
      override async *list(options: Options) {
        let remaining = 1_000
        for await (const entry of this.inner.list(options)) if (remaining-- > 0) yield entry
      }
    },
  ],
]
