import type { Run, Solver } from '../acme/issuer.js'
import type { CertCacheLock } from '../cache/cert-cache.js'
import type { Clock } from '../util/clock.js'
import { abortable, linkAbort, sharedController } from '../util/deadline.js'
import { DeadlineError } from '../util/errors.js'

/** Time limit of an order, from its start to the validated chain. */
const timeoutMs = 5 * 60_000
/** The time limit if the CA's `Retry-After` asks for more. */
const maxTimeoutMs = 15 * 60_000

export type Lock = Pick<CertCacheLock, 'signal'>

/** The run of one order: cancelled by its time limit, by a close, and by the loss of its lock. */
export class OrderRun implements Run {
  /** Whether the CA has an order, which has offered a challenge or is ready. */
  hasOrdered = false
  /** Whether the order waits for the CA alone: it has the challenge answer, or the request to finalize. */
  isAwaitingCa = false
  readonly #controller = sharedController()
  /** Aborts at the time limit, or when a close can wait no longer. */
  readonly #ending = sharedController()
  readonly #lock: Lock | undefined
  readonly #clock: Clock
  readonly #startedAt: number
  readonly #timeoutError: () => DeadlineError
  readonly #unlinkCancellation: () => void
  readonly #unlinkEnding: () => void
  #deadline: number
  #cancelTimer: () => void

  /** @param name the certificate, for the message of the time limit's error */
  constructor(name: string, parts: { clock: Clock; closing: AbortSignal; lock: Lock | undefined }) {
    const { clock, closing, lock } = parts
    this.#clock = clock
    this.#lock = lock
    this.#startedAt = clock.now()
    this.#deadline = this.#startedAt + timeoutMs
    this.#timeoutError = () => {
      const minutes = Math.round((this.#deadline - this.#startedAt) / 60_000)
      return new DeadlineError(`the CA did not issue a certificate for "${name}" within ${minutes} minutes`)
    }
    this.#cancelTimer = this.#startTimer(timeoutMs)
    // Linked until the order is committed: an issued certificate is fetched even after a close or a lost lock.
    this.#unlinkCancellation = linkAbort(this.#controller, [closing, lock?.signal])
    this.#unlinkEnding = linkAbort(this.#controller, [this.#ending.signal])
  }

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  get isLockHeld(): boolean {
    return !this.#lock?.signal.aborted
  }

  get isExclusive(): boolean {
    return this.#lock !== undefined && this.isLockHeld
  }

  proceed(): void {
    this.signal.throwIfAborted()
    this.#lock?.signal.throwIfAborted()
  }

  extendDeadline(until: number): void {
    const now = this.#clock.now()
    const deadline = Math.min(until, this.#startedAt + maxTimeoutMs)
    if (deadline <= this.#deadline || deadline <= now) return
    this.#deadline = deadline
    this.#cancelTimer()
    this.#cancelTimer = this.#startTimer(deadline - now)
  }

  commit(): void {
    this.proceed()
    this.hasOrdered = this.isAwaitingCa = true
    this.#unlinkCancellation()
  }

  /** Settles as `order` does, or rejects at the time limit or when {@link end} is called. */
  async until<T>(order: Promise<T>): Promise<T> {
    try {
      return await abortable(order, this.#ending.signal)
    } finally {
      this.#cancelTimer()
    }
  }

  /** Ends the order, even if it is committed. */
  end(reason: Error): void {
    this.#ending.abort(reason)
  }

  /** Wraps a solver so that its use sets `hasOrdered`, and its success `isAwaitingCa`. */
  watch({ type, present }: Solver): Solver {
    return {
      type,
      present: async (challenge, run) => {
        this.hasOrdered = true
        const withdraw = await present(challenge, run)
        this.isAwaitingCa = true
        return withdraw
      },
    }
  }

  /** Removes the listeners from the lock and the manager. Call it when the order has settled. */
  unlink(): void {
    this.#cancelTimer()
    this.#unlinkEnding()
    this.#unlinkCancellation()
  }

  #startTimer(ms: number): () => void {
    return this.#clock.after(ms, () => this.end(this.#timeoutError()))
  }
}
