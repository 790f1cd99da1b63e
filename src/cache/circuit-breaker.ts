import { type Clock, monotonic } from '../util/clock.js'
import { StoreError } from '../util/errors.js'

/** Consecutive failures, of any operations, after which the breaker opens. */
const failureThreshold = 5
/** How long the breaker stays open at first. Doubles each time that the probe fails. */
const minOpenMs = 1_000
const maxOpenMs = 15_000

/** A store operation, such as `get`, and the key it concerns. */
interface KeyOperation {
  readonly operation: string
  readonly key: string
}

/**
 * Spares callers the full time-out of every operation while the store is down.
 *
 * After five consecutive failures the breaker opens for 1 s and rejects operations with the last error. Then it lets
 * one operation through as a probe. If the probe succeeds the breaker closes; otherwise it opens again, for 2 s, 4 s
 * … 15 s.
 *
 * As long as only one key has failed, the breaker opens for that key alone: the fault may lie with the entry instead of
 * the store.
 */
export class CircuitBreaker {
  #failures = 0
  /** The only key that has failed, or `several`. */
  #failedKey: { readonly key: string } | 'several' | undefined
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
  async run<T>(request: KeyOperation, call: () => Promise<T>): Promise<T> {
    const isProbe = this.#isOpenFor(request.key)
    if (isProbe) this.#startProbe()
    try {
      const result = await call()
      this.#close()
      return result
    } catch (thrown) {
      if (!(thrown instanceof StoreError)) throw thrown // the caller aborted: no news about the store
      if (isOutage(thrown, request)) this.#recordFailure(thrown, request.key, isProbe)
      else this.#close()
      throw thrown
    } finally {
      if (isProbe) this.#isProbing = false
    }
  }

  #isOpenFor(key: string): boolean {
    if (this.#failures < failureThreshold || this.#failedKey === undefined) return false
    return this.#failedKey === 'several' || this.#failedKey.key === key
  }

  /** @throws {StoreError} if it is too early for a probe, or another probe is running */
  #startProbe(): void {
    const waitMs = this.#openUntil - this.#now()
    const lastError = this.#lastError as StoreError
    if (waitMs > 0 || this.#isProbing) {
      const when = waitMs > 0 ? `again in ${Math.ceil(waitMs / 1_000)} s` : 'at this moment'
      throw new StoreError(
        lastError.code,
        `the store failed ${this.#failures} times in a row, and is asked ${when}: ${lastError.message}`,
        { cause: lastError, statusCode: lastError.statusCode },
      )
    }
    this.#isProbing = true
  }

  #close(): void {
    this.#failures = 0
    this.#failedKey = undefined
    this.#openMs = minOpenMs
  }

  #recordFailure(error: StoreError, key: string, isProbe: boolean): void {
    const wasOpen = this.#isOpenFor(key)
    this.#lastError = error
    this.#failures += 1
    if (this.#failedKey === undefined) this.#failedKey = { key }
    else if (this.#failedKey !== 'several' && this.#failedKey.key !== key) this.#failedKey = 'several'
    // Operations that were already running when the breaker opened do not extend it.
    if (isProbe || (!wasOpen && this.#isOpenFor(key))) {
      this.#openUntil = this.#now() + this.#openMs
      this.#openMs = Math.min(this.#openMs * 2, maxOpenMs)
    }
  }
}

/**
 * Returns false for errors about a single entry (a conflict, an oversized or undecryptable value), and for a missing
 * permission to lock, because the store works without locks.
 */
function isOutage({ code, statusCode = 500 }: StoreError, { operation }: KeyOperation): boolean {
  if (code === 'ERR_STORE_DECRYPT' || code === 'ERR_STORE_ENTRY') return false
  if (code === 'ERR_STORE_PERMISSION' && operation === 'lock') return false
  return code !== 'ERR_STORE_FAILED' || statusCode >= 500 || statusCode === 408 || statusCode === 429
}
