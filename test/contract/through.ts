import type { CacheOperationOptions, CertCache } from '../../src/index.js'
import type { MemoryCertCache } from '../../src/testing/index.js'

export type Options = CacheOperationOptions | undefined
export type Broken = new (inner: MemoryCertCache) => CertCache

/** Passes everything on. */
export class Through implements CertCache {
  protected readonly inner: MemoryCertCache

  constructor(inner: MemoryCertCache) {
    this.inner = inner
  }
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

/** What it does, the cases that have to find it out, the store. */
export type BrokenStore = readonly [what: string, part: RegExp, store: Broken]
