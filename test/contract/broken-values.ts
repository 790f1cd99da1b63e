import { type Broken, type BrokenStore, type Options, Through } from './through.js'

/** Another key for a key, as a store that can't represent some of them makes. */
const keyed = (change: (key: string) => string): Broken =>
  class extends Through {
    override get = (key: string, options: Options) => this.inner.get(change(key), options)
    override put = (key: string, data: Uint8Array, options: Options) =>
      this.inner.put(change(key), data, options)
    override delete = (key: string, options: Options) => this.inner.delete(change(key), options)
  }

export const brokenValues: readonly BrokenStore[] = [
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
    'looks at signals only beforehand, and has a time-out of its own',
    /ends with its signal/,
    class extends Through {
      override async get(key: string, options: Options) {
        options?.signal?.throwIfAborted()
        return this.inner.get(key).catch(async (error) => {
          await new Promise((resolve) => setTimeout(resolve, 5_000).unref())
          throw error
        })
      }
    },
  ],
  [
    'remembers misses for 10 s',
    /on every handle/,
    class extends Through {
      readonly misses = new Map<string, number>()
      override async get(key: string, options: Options) {
        if (performance.now() < (this.misses.get(key) ?? 0)) return undefined
        const value = await this.inner.get(key, options)
        if (!value) this.misses.set(key, performance.now() + 10_000)
        return value
      }
      override async put(key: string, data: Uint8Array, options: Options) {
        await this.inner.put(key, data, options)
        this.misses.delete(key)
      }
    },
  ],
  [
    'remembers values for 10 s',
    /on every handle/,
    class extends Through {
      readonly values = new Map<string, { value: Uint8Array; until: number }>()
      override async get(key: string, options: Options) {
        const known = this.values.get(key)
        if (known && performance.now() < known.until) return known.value
        const value = await this.inner.get(key, options)
        if (value) this.values.set(key, { value, until: performance.now() + 10_000 })
        return value
      }
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
]
