import type { Clock } from '../util/clock.js'
import { sharedController, withDeadline } from '../util/deadline.js'
import { DeadlineError, toError } from '../util/errors.js'
import { callSafely } from '../util/safe-call.js'
import type { CertCache, CertCacheLock } from './cert-cache.js'
import { release, runOncePerFleet } from './once-per-fleet.js'

const firstRetryMs = 1_000
const longestRetryMs = 300_000
/** For the last attempt. */
const closeMs = 10_000

/** A value that was expensive to make, and that is not in the store yet. */
interface PendingWrite extends PendingWriteOptions {
  readonly data: Uint8Array
  failures: number
  cancel: () => void
}

interface PendingWriteOptions {
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
export class PendingWrites {
  readonly #values = new Map<string, PendingWrite>()
  readonly #closing = sharedController()

  private readonly store: CertCache
  private readonly clock: Clock
  private readonly onPutFailed: PutFailedListener

  constructor(store: CertCache, clock: Clock, onPutFailed: PutFailedListener = warn) {
    this.store = store
    this.clock = clock
    this.onPutFailed = onPutFailed
  }

  get(key: string): Uint8Array | undefined {
    return this.#values.get(key)?.data
  }

  /**
   * Resolves after the first attempt, but does not wait for one that would have to wait for other machines.
   * `kept`: the value is not stored yet, and the lock is given back with it.
   */
  async put(key: string, data: Uint8Array, options: PendingWriteOptions): Promise<'stored' | 'kept'> {
    this.supersede(key)
    const value: PendingWrite = { ...options, data, failures: 0, cancel: () => {} }
    this.#values.set(key, value)
    const attempt = this.#attempt(key, value, this.#closing.signal)
    if (options.lock?.signal.aborted) return 'kept'
    const error = await attempt
    return error && this.#values.get(key) === value ? 'kept' : 'stored'
  }

  /** A newer value, or a deletion, takes the place of this one. */
  supersede(key: string): void {
    const value = this.#values.get(key)
    this.#values.delete(key)
    value?.cancel()
    if (value?.lock && value.failures > 0) void release(value.lock)
  }

  async close(): Promise<void> {
    this.#closing.abort()
    const errors: Error[] = []
    const last = [...this.#values].map(async ([key, value]) => {
      value.cancel()
      const timeout = () => new DeadlineError(`${key} could not be stored within ${closeMs / 1_000} s`)
      const attempt = (signal: AbortSignal) => this.#attempt(key, value, signal)
      const bound = { ms: closeMs, clock: this.clock, error: timeout }
      const error = await withDeadline(attempt, bound).catch(toError)
      if (error) errors.push(error)
      if (value.lock) await release(value.lock)
    })
    await Promise.all(last)
    const values = errors.length === 1 ? '1 value' : `${errors.length} values`
    if (errors.length > 0) throw new AggregateError(errors, `${values} could not be stored`)
  }

  async #attempt(key: string, value: PendingWrite, signal: AbortSignal): Promise<Error | undefined> {
    try {
      await this.#store(key, value, signal)
    } catch (thrown) {
      const error = toError(thrown)
      if (this.#values.get(key) === value && !this.#closing.signal.aborted)
        this.#retryLater(key, value, error)
      return error
    }
    if (this.#values.get(key) === value) this.#values.delete(key)
    if (value.lock && value.failures > 0) await release(value.lock)
    return undefined
  }

  /** Without the lock that it was made under, a peer may have been at work meanwhile: its value is not overwritten. */
  async #store(
    key: string,
    { data, lock, accept, onAdopted }: PendingWrite,
    signal: AbortSignal,
  ): Promise<void> {
    const { store, clock } = this
    if (!lock?.signal.aborted) return store.put(key, data, { signal: lock?.signal })
    const stored = await runOncePerFleet({
      store,
      name: key,
      clock,
      signal,
      async find() {
        const found = await store.get(key)
        return found && accept(found) ? found : undefined
      },
      async work(next) {
        await store.put(key, data, { signal: next?.signal })
        return { value: data }
      },
    })
    if (stored !== data) onAdopted(stored)
  }

  #retryLater(key: string, value: PendingWrite, error: Error): void {
    const retryInMs = Math.min(firstRetryMs * 2 ** value.failures, longestRetryMs)
    value.failures += 1
    value.cancel = this.clock.after(retryInMs, () => void this.#attempt(key, value, this.#closing.signal))
    callSafely(() => this.onPutFailed({ key, error, retryInMs }))
  }
}
