import type { CertCache, CertCacheLock } from './cache.js'
import { type Clock, sharedController } from './clock.js'
import { toError } from './errors.js'
import { onceInFleet } from './fleet.js'
import { guarded } from './guarded.js'

const firstRetryMs = 1_000
const longestRetryMs = 300_000

/** A value that was expensive to make, and that is not in the store yet. */
interface Unsaved extends UnsavedOptions {
  readonly data: Uint8Array
  failures: number
  cancel: () => void
  /** It is in the store, or another is in its place. */
  settle: () => void
}

interface UnsavedOptions {
  /** Under which it was made. While it can be proved held, nobody else can have stored another value. */
  readonly lock: CertCacheLock | undefined
  /** Whether a peer's value will do instead, should the lock have been lost. */
  readonly accept: (data: Uint8Array) => boolean
  readonly onAdopted: (data: Uint8Array) => void
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
  readonly #closing = sharedController()

  constructor(
    private readonly store: CertCache,
    private readonly clock: Clock,
    private readonly onPutFailed: PutFailedListener = warn,
  ) {}

  get(key: string): Uint8Array | undefined {
    return this.#values.get(key)?.data
  }

  /** Resolves after the first attempt; if that failed, with a promise for the time when no more are needed. */
  async put(key: string, data: Uint8Array, options: UnsavedOptions): Promise<{ settled?: Promise<void> }> {
    this.supersede(key)
    let settle = () => {}
    const settled = new Promise<void>((resolve) => {
      settle = resolve
    })
    const value: Unsaved = { ...options, data, failures: 0, cancel: () => {}, settle }
    this.#values.set(key, value)
    return (await this.#attempt(key, value)) ? { settled } : {}
  }

  /** A newer value, or a deletion, takes the place of this one. */
  supersede(key: string): void {
    const value = this.#values.get(key)
    this.#values.delete(key)
    value?.cancel()
    value?.settle()
  }

  async close(): Promise<void> {
    this.#closing.abort()
    const errors: Error[] = []
    const last = [...this.#values].map(async ([key, value]) => {
      value.cancel()
      const error = await this.#attempt(key, value)
      if (error) errors.push(error)
      value.settle()
    })
    await Promise.all(last)
    if (errors.length > 0) throw new AggregateError(errors, `${errors.length} values could not be stored`)
  }

  async #attempt(key: string, value: Unsaved): Promise<Error | undefined> {
    try {
      await this.#store(key, value)
    } catch (thrown) {
      const error = toError(thrown)
      if (this.#values.get(key) === value && !this.#closing.signal.aborted)
        this.#retryLater(key, value, error)
      return error
    }
    if (this.#values.get(key) === value) this.supersede(key)
    return undefined
  }

  /** Without the lock that it was made under, a peer may have been at work meanwhile: its value is not overwritten. */
  async #store(key: string, { data, lock, accept, onAdopted }: Unsaved): Promise<void> {
    const { store, clock } = this
    if (!lock?.signal.aborted) return store.put(key, data)
    const stored = await onceInFleet({
      store,
      name: key,
      clock,
      signal: this.#closing.signal,
      async find() {
        const found = await store.get(key)
        return found && accept(found) ? found : undefined
      },
      async work() {
        await store.put(key, data)
        return { value: data }
      },
    })
    if (stored !== data) onAdopted(stored)
  }

  #retryLater(key: string, value: Unsaved, error: Error): void {
    const retryInMs = Math.min(firstRetryMs * 2 ** value.failures, longestRetryMs)
    value.failures += 1
    value.cancel = this.clock.after(retryInMs, () => void this.#attempt(key, value))
    guarded(() => this.onPutFailed({ key, error, retryInMs }))
  }
}
