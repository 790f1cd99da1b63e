import type { CertCache } from './cache.js'
import type { Clock } from './clock.js'
import { toError } from './errors.js'
import { guarded } from './guarded.js'

const firstRetryMs = 1_000
const longestRetryMs = 300_000

interface Unsaved {
  readonly data: Uint8Array
  failures: number
  cancel: () => void
}

export type PutFailedListener = (failure: { key: string; error: Error; retryInMs: number }) => void

const warn: PutFailedListener = ({ key, error, retryInMs }) =>
  process.emitWarning(
    `${key} could not be stored and is served from memory; next try in ${retryInMs} ms: ${error.message}`,
    'CertCacheWarning',
  )

/**
 * Values that were expensive to make and that the store would not take yet: each put is repeated after 1 s,
 * 2 s, 4 s … 5 min until it succeeds or the value is superseded. Holds no more values than there were failures.
 */
export class UnsavedValues {
  readonly #values = new Map<string, Unsaved>()
  #closed = false

  constructor(
    private readonly store: CertCache,
    private readonly clock: Clock,
    private readonly onPutFailed: PutFailedListener = warn,
  ) {}

  get(key: string): Uint8Array | undefined {
    return this.#values.get(key)?.data
  }

  /** Resolves after the first attempt, whatever became of it. */
  async put(key: string, data: Uint8Array): Promise<void> {
    this.supersede(key)
    const value: Unsaved = { data, failures: 0, cancel: () => {} }
    this.#values.set(key, value)
    await this.#attempt(key, value)
  }

  /** A newer value, or a deletion, takes the place of this one. */
  supersede(key: string): void {
    this.#values.get(key)?.cancel()
    this.#values.delete(key)
  }

  async close(): Promise<void> {
    this.#closed = true
    const errors: Error[] = []
    const last = [...this.#values].map(async ([key, value]) => {
      value.cancel()
      const error = await this.#attempt(key, value)
      if (error) errors.push(error)
    })
    await Promise.all(last)
    if (errors.length > 0) throw new AggregateError(errors, `${errors.length} values could not be stored`)
  }

  async #attempt(key: string, value: Unsaved): Promise<Error | undefined> {
    try {
      await this.store.put(key, value.data)
    } catch (thrown) {
      const error = toError(thrown)
      if (this.#values.get(key) === value && !this.#closed) this.#retryLater(key, value, error)
      return error
    }
    if (this.#values.get(key) === value) this.#values.delete(key)
    return undefined
  }

  #retryLater(key: string, value: Unsaved, error: Error): void {
    const retryInMs = Math.min(firstRetryMs * 2 ** value.failures, longestRetryMs)
    value.failures += 1
    value.cancel = this.clock.after(retryInMs, () => void this.#attempt(key, value))
    guarded(() => this.onPutFailed({ key, error, retryInMs }))
  }
}
