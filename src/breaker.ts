import type { Clock } from './clock.js'
import { StoreError } from './errors.js'
import type { StoreOperation } from './guarded-store.js'

/** So many failures in a row, of whatever operations, and the store counts as down. */
const threshold = 5
/** For so long nothing is asked of it then; twice as long each time that it still fails. */
const firstPauseMs = 1_000
const longestPauseMs = 15_000

/**
 * Keeps a store that is down from costing each operation its whole time-out. While it is open, operations fail at once
 * with the store's last error; after a pause one of them is let through, and if that succeeds all are.
 */
export class Breaker {
  #failures = 0
  #last: StoreError | undefined
  #pauseMs = firstPauseMs
  #openUntil = 0
  #probing = false

  constructor(private readonly clock: Clock) {}

  /** @throws {StoreError} without calling `operation`, while the store counts as down */
  async run<T>(operation: () => Promise<T>, kind: StoreOperation): Promise<T> {
    const probe = this.#failures >= threshold
    if (probe) this.#admitProbe()
    try {
      const result = await operation()
      this.#works()
      return result
    } catch (thrown) {
      if (!(thrown instanceof StoreError)) throw thrown // a caller gave up; says nothing of the store
      if (isDown(thrown, kind)) this.#fails(thrown, probe)
      else this.#works()
      throw thrown
    } finally {
      if (probe) this.#probing = false
    }
  }

  #admitProbe(): void {
    const waitMs = this.#openUntil - this.clock.now()
    const last = this.#last as StoreError
    if (waitMs > 0 || this.#probing) {
      const when = waitMs > 0 ? `again in ${Math.ceil(waitMs / 1_000)} s` : 'at this moment'
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
    this.#pauseMs = firstPauseMs
  }

  #fails(error: StoreError, probe: boolean): void {
    this.#last = error
    this.#failures += 1
    // Those that were under way when it opened say nothing new.
    if (this.#failures === threshold || probe) {
      this.#openUntil = this.clock.now() + this.#pauseMs
      this.#pauseMs = Math.min(this.#pauseMs * 2, longestPauseMs)
    }
  }
}

/**
 * As opposed to an answer that concerns one key alone (a conflict, a value that is too large or that can't be
 * decrypted), and to locks that are not permitted, which can be done without.
 */
function isDown({ code, statusCode = 500 }: StoreError, kind: StoreOperation): boolean {
  if (code === 'ERR_STORE_PERMISSION' && kind === 'lock') return false
  if (code === 'ERR_STORE_DECRYPT') return false
  return code !== 'ERR_STORE_FAILED' || statusCode >= 500 || statusCode === 408 || statusCode === 429
}
