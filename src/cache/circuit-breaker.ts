import { type Clock, monotonic } from '../util/clock.js'
import { StoreError } from '../util/errors.js'
import { verdictOf } from '../util/verdict.js'

const failureThreshold = 5
const minOpenMs = 1_000
const maxOpenMs = 15_000

/**
 * Rejects operations of one kind immediately while the store fails them, so that callers do not wait for a time-out each
 * time.
 *
 * After five consecutive failures the breaker opens for 1 s and rejects operations with the last error. Then
 * one operation runs as a probe. If the probe succeeds, the breaker closes; otherwise it opens for 2 s, 4 s … 15 s.
 *
 * As long as only one key has failed, the breaker opens for that key alone: the fault may lie with the entry instead of
 * the store.
 */
export class CircuitBreaker {
  #failures = 0
  /** Up to two of the keys that have failed. */
  readonly #failedKeys = new Set<string>()
  #lastError: StoreError | undefined
  #openMs = minOpenMs
  #openUntil = 0
  #isProbing = false
  readonly #now: () => number

  constructor(clock: Clock) {
    this.#now = monotonic(clock)
  }

  /**
   * Calls `call` and counts its outcome.
   * @throws {StoreError} without calling `call`, while the breaker is open
   */
  async run<T>(key: string, call: () => Promise<T>): Promise<T> {
    const isProbe = this.#isOpenFor(key)
    if (isProbe) this.#startProbe()
    try {
      const result = await call()
      this.close()
      return result
    } catch (thrown) {
      if (!(thrown instanceof StoreError)) throw thrown // the caller aborted, which says nothing about the store
      if (verdictOf(thrown).scope === 'store') this.#recordFailure(thrown, key, isProbe)
      else this.close()
      throw thrown
    } finally {
      if (isProbe) this.#isProbing = false
    }
  }

  #isOpenFor(key: string): boolean {
    return this.#failures >= failureThreshold && (this.#failedKeys.size > 1 || this.#failedKeys.has(key))
  }

  /** @throws {StoreError} if it is too early for a probe, or another probe is running */
  #startProbe(): void {
    const waitMs = this.#openUntil - this.#now()
    if (waitMs > 0 || this.#isProbing) {
      const { code, message, statusCode } = this.#lastError as StoreError
      const next =
        waitMs > 0 ? `next attempt in ${Math.ceil(waitMs / 1_000)} s` : 'another attempt is in progress'
      const text = `the last ${this.#failures} store operations failed (${next}): ${message}`
      throw new StoreError(code, text, { cause: this.#lastError, statusCode })
    }
    this.#isProbing = true
  }

  /** Closes the breaker, because the store has answered an operation of this kind. */
  close(): void {
    this.#failures = 0
    this.#failedKeys.clear()
    this.#openMs = minOpenMs
  }

  #recordFailure(error: StoreError, key: string, isProbe: boolean): void {
    const wasOpen = this.#isOpenFor(key)
    this.#lastError = error
    this.#failures += 1
    if (this.#failedKeys.size < 2) this.#failedKeys.add(key)
    // Operations that were already running when the breaker opened do not extend it.
    if (isProbe || (!wasOpen && this.#isOpenFor(key))) {
      this.#openUntil = this.#now() + this.#openMs
      this.#openMs = Math.min(this.#openMs * 2, maxOpenMs)
    }
  }
}
