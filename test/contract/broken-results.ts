import type { CertCacheEntry } from '../../src/index.js'
import { type BrokenStore, ForwardingStore, type Options, type StoreClass } from './broken-store.js'

/** A store whose listing has a defect. */
const withListing = (change: (entries: CertCacheEntry[]) => unknown[]): StoreClass =>
  class extends ForwardingStore {
    override async *list(options: Options) {
      const entries: CertCacheEntry[] = []
      for await (const entry of this.inner.list(options)) entries.push(entry)
      yield* change(entries) as CertCacheEntry[]
    }
  }

/** A store that ignores the signal of one operation. */
const ignoringSignalOf = (operation: 'put' | 'delete' | 'list' | 'tryLock'): BrokenStore => [
  `ignores the signal of ${operation}`,
  /with an aborted signal/,
  class extends ForwardingStore {
    override put = (key: string, data: Uint8Array, options: Options) =>
      this.inner.put(key, data, operation === 'put' ? undefined : options)
    override delete = (key: string, options: Options) =>
      this.inner.delete(key, operation === 'delete' ? undefined : options)
    override list = (options: Options) => this.inner.list(operation === 'list' ? undefined : options)
    override tryLock = (name: string, options: Options) =>
      this.inner.tryLock(name, operation === 'tryLock' ? undefined : options)
  },
]

/** Stores whose operations have no effect, or return or reject with something else than the contract says. */
export const brokenResults: readonly BrokenStore[] = [
  ...(['put', 'delete', 'list', 'tryLock'] as const).map(ignoringSignalOf),
  [
    'ignores deletions',
    /delete removes a key/,
    class extends ForwardingStore {
      override async delete() {}
    },
  ],
  [
    'deletes another key too',
    /delete removes a key/,
    class extends ForwardingStore {
      override async delete(key: string, options: Options) {
        await this.inner.delete(key, options)
        await this.inner.delete('b.example', options)
      }
    },
  ],
  [
    'returns any value for a key that was never written',
    /^get returns undefined/,
    class extends ForwardingStore {
      #last: Uint8Array | undefined
      override get = async (key: string, options: Options) =>
        (await this.inner.get(key, options)) ?? this.#last
      override async put(key: string, data: Uint8Array, options: Options) {
        await this.inner.put(key, data, options)
        this.#last = data
      }
    },
  ],
  [
    'returns text',
    /on every handle/,
    class extends ForwardingStore {
      override async get(key: string, options: Options) {
        const value = await this.inner.get(key, options)
        return value && (Buffer.from(value).toString() as unknown as Uint8Array)
      }
    },
  ],
  [
    'rejects with its own error when the signal is aborted',
    /with an aborted signal/,
    class extends ForwardingStore {
      override get = (key: string, options: Options) =>
        this.inner.get(key, options).catch((cause) => Promise.reject(new Error('aborted', { cause })))
    },
  ],
  [
    'rejects with text when it is cut off',
    /failure is never a miss/,
    class extends ForwardingStore {
      override get = (key: string, options: Options) =>
        this.inner.get(key, options).catch((error) => Promise.reject(String(error)))
    },
  ],
  [
    'resolves a put and a deletion that it could not make',
    /failure is never a miss/,
    class extends ForwardingStore {
      override put = (key: string, data: Uint8Array, options: Options) =>
        this.inner.put(key, data, options).catch(() => undefined)
      override delete = (key: string, options: Options) =>
        this.inner.delete(key, options).catch(() => undefined)
    },
  ],
  [
    'lists nothing when it is cut off',
    /failure is never a miss/,
    class extends ForwardingStore {
      override async *list(options: Options) {
        const listing = this.inner.list(options)
        const next = () => listing.next().catch(() => ({ done: true as const, value: undefined }))
        for (let result = await next(); !result.done; result = await next()) yield result.value
      }
    },
  ],
  [
    'refuses an invalid key with another error',
    /outside the alphabet/,
    class extends ForwardingStore {
      override get = (key: string, options: Options) =>
        this.inner.get(key, options).catch(() => Promise.reject(new TypeError('an invalid key')))
    },
  ],
  [
    'accepts invalid names of locks',
    /outside the alphabet/,
    class extends ForwardingStore {
      override tryLock = (name: string, options: Options) =>
        this.inner.tryLock(encodeURIComponent(name).replaceAll('%', '-') || 'empty', options)
    },
  ],
  [
    'lists a wrong size',
    /its size in bytes/,
    withListing((entries) => entries.map((entry) => ({ ...entry, size: entry.size + 1 }))),
  ],
  ['lists a key twice', /each key once/, withListing((entries) => [...entries, ...entries.slice(0, 1)])],
  [
    'lists times as numbers',
    /time of its last write/,
    withListing((entries) => entries.map((entry) => ({ ...entry, modified: entry.modified.getTime() }))),
  ],
  [
    'lists a key that was never written',
    /each key once/,
    withListing((entries) => [...entries, { name: 'index', size: 0, modified: new Date() }]),
  ],
  [
    'never frees a lock',
    /until it is released/,
    class extends ForwardingStore {
      override async tryLock(name: string, options: Options) {
        const lock = await this.inner.tryLock(name, options)
        return lock && { signal: lock.signal, release: async () => undefined }
      }
    },
  ],
  [
    'grants a lock whose signal is aborted',
    /until it is released/,
    class extends ForwardingStore {
      override async tryLock(name: string, options: Options) {
        const lock = await this.inner.tryLock(name, options)
        return lock && { signal: AbortSignal.abort(), release: () => lock.release() }
      }
    },
  ],
  [
    'returns null for a lock that another machine holds',
    /until it is released/,
    class extends ForwardingStore {
      override tryLock = async (name: string, options: Options) =>
        (await this.inner.tryLock(name, options)) ?? (null as never)
    },
  ],
  [
    'rejects the second release of a lock',
    /a second release has no effect/,
    class extends ForwardingStore {
      override async tryLock(name: string, options: Options) {
        const lock = await this.inner.tryLock(name, options)
        let isReleased = false
        const release = async () => {
          if (isReleased) throw new Error('the lock was released before')
          isReleased = true
          await lock?.release()
        }
        return lock && { signal: lock.signal, release }
      }
    },
  ],
  [
    'deletes the value of the name when it releases a lock',
    /with the same name do not affect/,
    class extends ForwardingStore {
      override async tryLock(name: string, options: Options) {
        const lock = await this.inner.tryLock(name, options)
        const release = async () => {
          await this.inner.delete(name)
          await lock?.release()
        }
        return lock && { signal: lock.signal, release }
      }
    },
  ],
]
