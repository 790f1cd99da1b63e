import type { Clock } from '../util/clock.js'
import { StoreError } from '../util/errors.js'

/** So many failures in a row, of whatever operations, and the store counts as down. */
const threshold = 5
/** For so long nothing is asked of it then; twice as long each time that it still fails. */
const firstPauseMs = 1_000
const longestPauseMs = 15_000

/** An operation of a store, for example `get`, and the key that it is about. */
interface Asked {
  readonly operation: string
  readonly key: string
}

/**
 * Keeps a store that is down from costing each operation its whole time-out. While it is open, operations fail at once
 * with the store's last error; after a pause one of them is let through, and if that succeeds all are.
 *
 * As long as one key alone has failed, it is open for that key alone: whatever is wrong with it need not be wrong with
 * the store.
 */
export class CircuitBreaker {
  #failures = 0
  /** The key that has failed; `several` if it was not always the same. */
  #failing: { readonly key: string } | 'several' | undefined
  #last: StoreError | undefined
  #pauseMs = firstPauseMs
  #openUntil = 0
  #probing = false

  private readonly clock: Clock

  constructor(clock: Clock) {
    this.clock = clock
  }

  /** @throws {StoreError} without calling `call`, while the store counts as down */
  async run<T>(asked: Asked, call: () => Promise<T>): Promise<T> {
    const probe = this.#isOpenFor(asked.key)
    if (probe) this.#admitProbe()
    try {
      const result = await call()
      this.#works()
      return result
    } catch (thrown) {
      if (!(thrown instanceof StoreError)) throw thrown // a caller gave up; says nothing of the store
      if (isDown(thrown, asked)) this.#fails(thrown, asked.key, probe)
      else this.#works()
      throw thrown
    } finally {
      if (probe) this.#probing = false
    }
  }

  #isOpenFor(key: string): boolean {
    if (this.#failures < threshold || this.#failing === undefined) return false
    return this.#failing === 'several' || this.#failing.key === key
  }

  #admitProbe(): void {
    const waitMs = this.#openUntil - this.clock.now()
    const last = this.#last as StoreError
    // Longer than any pause: the clock was set back.
    const tooEarly = waitMs > 0 && waitMs <= longestPauseMs
    if (tooEarly || this.#probing) {
      const when = tooEarly ? `again in ${Math.ceil(waitMs / 1_000)} s` : 'at this moment'
      throw new StoreError(
        last.code,
        `the store failed ${this.#failures} times in a row, and is asked ${when}: ${last.message}`,
        { cause: last, statusCode: last.statusCode },
      )
    }
    this.#probing = true
  }

  #works(): void {
    this.#failures = 0
    this.#failing = undefined
    this.#pauseMs = firstPauseMs
  }

  #fails(error: StoreError, key: string, probe: boolean): void {
    const wasOpen = this.#isOpenFor(key)
    this.#last = error
    this.#failures += 1
    if (this.#failing === undefined) this.#failing = { key }
    else if (this.#failing !== 'several' && this.#failing.key !== key) this.#failing = 'several'
    // Those that were under way when it opened say nothing new.
    if (probe || (!wasOpen && this.#isOpenFor(key))) {
      this.#openUntil = this.clock.now() + this.#pauseMs
      this.#pauseMs = Math.min(this.#pauseMs * 2, longestPauseMs)
    }
  }
}

/**
 * As opposed to an answer that concerns one entry alone (a conflict, a value that is too large or that can't be
 * decrypted), and to locks that are not permitted, which can be done without.
 */
function isDown({ code, statusCode = 500 }: StoreError, { operation }: Asked): boolean {
  if (code === 'ERR_STORE_DECRYPT' || code === 'ERR_STORE_ENTRY') return false
  if (code === 'ERR_STORE_PERMISSION' && operation === 'lock') return false
  return code !== 'ERR_STORE_FAILED' || statusCode >= 500 || statusCode === 408 || statusCode === 429
}
