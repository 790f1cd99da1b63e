import { type Clock, monotonic } from '../util/clock.js'
import { sharedController, withDeadline } from '../util/deadline.js'
import { joinMessages, toError } from '../util/errors.js'
import { callSafely, ignoreFailure, warn } from '../util/safe-call.js'
import type { CertCache, CertCacheLock } from './cert-cache.js'
import { releaseQuietly, runOncePerFleet } from './once-per-fleet.js'
import { isLostRace } from './service-errors.js'

/** Number of refusals in a row after which the lock is given back: the store answers, and will refuse again. */
const maxRefusals = 3
/** How long a put may fail for any reason before the lock is given back: the other machines wait for it. */
const maxLockedMs = 60_000

/** A value that is not in the store yet. */
interface PendingWrite<T> extends Omit<PendingWriteOptions<T>, 'lock'> {
  readonly value: T
  /** The lock that is held for this value. */
  lock: CertCacheLock | undefined
  /** Whether other machines may have stored a value, because the lock was given back. */
  isUnlocked: boolean
  failures: number
  /** The number of last failures with status 409 or 412. */
  refusals: number
  /** When the first put failed, by the monotonic clock. */
  failingSince: number
  cancelRetry: () => void
}

/** How a value was stored. */
export interface StoredWrite {
  /** The lock that is held for the value, if the store has locks. */
  readonly lock: Pick<CertCacheLock, 'signal'> | undefined
  readonly wasRefused: boolean
}

interface PendingWriteOptions<T> {
  /** The bytes to store. */
  readonly data: Uint8Array
  /**
   * The lock under which the value was produced. While it is held, no other machine can have stored another value. Held
   * for about a minute of failed puts at most.
   */
  readonly lock: CertCacheLock | undefined
  /** Decodes a peer's value if it is usable instead. Called only if the lock was lost or given back. */
  readonly usable: (data: Uint8Array) => T | undefined
  /**
   * Called in the tick in which the store has accepted the value, under its lock. Awaited before that is released. Never
   * rejects.
   * @param stored.wasRefused whether `onRefused` was called before
   */
  readonly onStored?: (stored: StoredWrite) => Promise<void> | undefined
  /** Called once, before the lock is given back. Never rejects. */
  readonly onRefused?: ((error: Error) => Promise<void>) | undefined
  /** Called with the peer's value that is used instead. */
  readonly onAdopted: (value: T) => void
}

export type PutFailedListener = (failure: { key: string; error: Error; retryInMs: number }) => void

const warnPutFailed: PutFailedListener = ({ key, error, retryInMs }) =>
  warn(
    `cannot store "${key}", which is served from memory (next attempt in ${retryInMs / 1_000} s): ${error.message}`,
    error,
  )

/**
 * Holds values that were expensive to produce and that the store has not accepted yet. Retries each put after 1 s, 2 s,
 * 4 s … 5 min, until it succeeds or the value is superseded. Holds at most one value per failed put.
 *
 * Keeps the fleet's lock for three refusals in a row, such as those of a blob with a foreign lease, and for a minute of
 * other failures. Then the other machines can continue, and each later put acquires the lock again.
 */
export class PendingWrites<T> {
  readonly #writes = new Map<string, PendingWrite<T>>()
  readonly #closing = sharedController()
  readonly #store: CertCache
  readonly #clock: Clock
  readonly #now: () => number
  readonly #onPutFailed: PutFailedListener

  constructor(store: CertCache, clock: Clock, onPutFailed: PutFailedListener = warnPutFailed) {
    this.#store = store
    this.#clock = clock
    this.#now = monotonic(clock)
    this.#onPutFailed = onPutFailed
  }

  get(key: string): T | undefined {
    return this.#writes.get(key)?.value
  }

  /**
   * Puts a value. Resolves after the first attempt; does not wait for other machines if the lock was lost. Returns
   * `pending` if the value is not stored yet. The lock is then released here.
   */
  async put(key: string, value: T, options: PendingWriteOptions<T>): Promise<'stored' | 'pending'> {
    this.supersede(key)
    const write: PendingWrite<T> = {
      ...options,
      value,
      isUnlocked: false,
      failures: 0,
      refusals: 0,
      failingSince: 0,
      cancelRetry: () => {},
    }
    this.#writes.set(key, write)
    const attempt = this.#attempt(key, write, this.#closing.signal)
    if (options.lock?.signal.aborted) return 'pending'
    const error = await attempt
    return error && this.#writes.get(key) === write ? 'pending' : 'stored'
  }

  /** Discards the pending value, because the caller is about to write or delete the key. */
  supersede(key: string): void {
    const write = this.#writes.get(key)
    this.#writes.delete(key)
    write?.cancelRetry()
    if (write && write.failures > 0) void releaseLock(write)
  }

  /**
   * Tries each pending put once more, and releases the locks: for at most `withinMs` in all.
   * @throws {AggregateError} with the errors of the puts that failed
   */
  async close(withinMs: number): Promise<void> {
    this.#closing.abort()
    const clock = this.#clock
    const giveUpAt = this.#now() + withinMs
    const lastAttempts = [...this.#writes].map(async ([key, write]) => {
      write.cancelRetry()
      const attempt = (signal: AbortSignal) => this.#attempt(key, write, signal)
      const limit = { ms: withinMs, clock, error: `"${key}" was not stored` }
      const error = await withDeadline(attempt, limit).catch(toError)
      const left = { ms: Math.max(giveUpAt - this.#now(), 0), clock, error: `"${key}" was not unlocked` }
      await ignoreFailure(
        withDeadline(() => releaseLock(write), left),
        'the lock expires',
      )
      return error
    })
    const errors = (await Promise.all(lastAttempts)).filter((error) => error !== undefined)
    const values = errors.length === 1 ? '1 value' : `${errors.length} values`
    if (errors.length > 0) throw new AggregateError(errors, `cannot store ${values}: ${joinMessages(errors)}`)
  }

  /** Returns the error if the put failed; never rejects. */
  async #attempt(key: string, write: PendingWrite<T>, signal: AbortSignal): Promise<Error | undefined> {
    try {
      await this.#write(key, write, signal)
    } catch (thrown) {
      const error = toError(thrown)
      if (this.#writes.get(key) === write && !this.#closing.signal.aborted) {
        this.#retryLater(key, write, error)
        await this.#giveLockBack(write, error)
      }
      return error
    }
    if (this.#writes.get(key) === write) this.#writes.delete(key)
    return undefined
  }

  /**
   * Puts the value. If its lock was lost or given back, acquires the lock again, and adopts a value that a peer has
   * stored since.
   */
  async #write(key: string, write: PendingWrite<T>, signal: AbortSignal): Promise<void> {
    const { value, data, lock, usable, onAdopted } = write
    const store = this.#store
    const put = async (held: CertCacheLock | undefined) => {
      await store.put(key, data, { signal: held?.signal })
      await write.onStored?.({ lock: held, wasRefused: write.isUnlocked })
    }
    if (!write.isUnlocked && !lock?.signal.aborted) return put(lock)
    const stored = await runOncePerFleet({
      store,
      name: key,
      clock: this.#clock,
      signal,
      async find() {
        const found = await store.get(key)
        return found ? usable(found) : undefined
      },
      async work(newLock) {
        await put(newLock)
        return { value }
      },
    })
    if (stored !== value) onAdopted(stored)
  }

  /** Reports a put that will not succeed soon, and releases its lock, for which other machines wait. */
  async #giveLockBack(write: PendingWrite<T>, error: Error): Promise<void> {
    if (write.isUnlocked) return
    if (write.refusals < maxRefusals && this.#now() - write.failingSince < maxLockedMs) return
    const { lock, onRefused } = write
    write.isUnlocked = true
    write.lock = undefined
    await onRefused?.(error)
    if (lock) await releaseQuietly(lock)
  }

  #retryLater(key: string, write: PendingWrite<T>, error: Error): void {
    const retryInMs = Math.min(1_000 * 2 ** write.failures, 300_000)
    const retry = async () => {
      if (!(await this.#attempt(key, write, this.#closing.signal))) await releaseLock(write)
    }
    if (write.failures === 0) write.failingSince = this.#now()
    write.failures += 1
    write.refusals = isLostRace(error) ? write.refusals + 1 : 0
    write.cancelRetry = this.#clock.after(retryInMs, () => void retry())
    callSafely(() => this.#onPutFailed({ key, error, retryInMs }))
  }
}

/** Releases the lock that is held for a value, if there is one. Never rejects. */
async function releaseLock(write: Pick<PendingWrite<unknown>, 'lock'>): Promise<void> {
  const { lock } = write
  write.lock = undefined
  if (lock) await releaseQuietly(lock)
}
