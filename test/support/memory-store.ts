import { assertCacheKey, type CertCache } from '../../src/index.js'

type Operation = 'get' | 'put' | 'delete' | 'lock' | 'unlock'

/** A store in memory that checks keys, records all operations, and fails on demand. */
export class MemoryStore implements CertCache {
  readonly values = new Map<string, Uint8Array>()
  readonly operations: string[] = []
  /** Called before each operation. If it throws or rejects, the operation rejects with that error. */
  before: (operation: Operation, key: string) => unknown = () => {}

  async get(key: string) {
    await this.enter('get', key)
    return this.values.get(key)?.slice()
  }

  async put(key: string, data: Uint8Array) {
    await this.enter('put', key)
    this.values.set(key, data.slice())
  }

  async delete(key: string) {
    await this.enter('delete', key)
    this.values.delete(key)
  }

  /** Returns the operations since the last call. */
  take(): string[] {
    return this.operations.splice(0)
  }

  protected async enter(operation: Operation, key: string) {
    assertCacheKey(key)
    this.operations.push(`${operation} ${key}`)
    await this.before(operation, key)
  }
}
