import type { ChallengeType } from '../acme/challenges.js'
import type { Issuer, Run, Solver } from '../acme/issuer.js'
import type { CertCacheLock } from '../cache/cert-cache.js'
import { checkBundle, encodeBundle, type Validity } from '../certificates/certificate-bundle.js'
import type { CertId } from '../certificates/certificate-id.js'
import { generateKey } from '../certificates/private-key.js'
import type { Clock } from '../util/clock.js'
import { linkAbort, settleAll, sharedController, withDeadline } from '../util/deadline.js'
import { CertCacheError, IssuanceError, toError, WrongClockError } from '../util/errors.js'
import { verdictOf } from '../util/verdict.js'
import type { Attempts } from './attempts.js'
import type { ChallengeAnswers } from './challenges/challenge-answers.js'
import { createSolver } from './challenges/solvers.js'
import type { FailureRecord } from './store/records.js'

/** Time limit of an order, from its start to the validated chain. */
const orderTimeoutMs = 5 * 60_000

type Lock = Pick<CertCacheLock, 'signal'>

interface OrdersParts {
  readonly answers: ChallengeAnswers
  readonly attempts: Attempts
  readonly clock: Clock
  /** Aborts when the manager is closed. */
  readonly closing: AbortSignal
  /** Returns the challenge types that this process can answer, in order of preference. */
  readonly challengeTypes: () => readonly ChallengeType[]
}

export interface OrderRequest {
  readonly id: CertId
  /** The failure record as it was before the lock was acquired. */
  readonly previousFailure: FailureRecord | undefined
  /** The certificate to be replaced, as stored, if it is still served. */
  readonly served: (Validity & { readonly data: Uint8Array }) | undefined
}

/** Orders certificates from an issuer, and records failed orders for the whole fleet. */
export class Orders {
  /** Orders in progress, including their clean-up. */
  readonly #running = new Set<Promise<unknown>>()
  readonly #parts: OrdersParts
  readonly #issuer: Pick<Issuer, 'issue'>

  constructor(parts: OrdersParts, issuer: Pick<Issuer, 'issue'>) {
    this.#parts = parts
    this.#issuer = issuer
  }

  /**
   * Orders a certificate with a new key. Resolves with both in the form in which they are stored.
   * @param lock the fleet's lock for the certificate. With a lock the failure record is read again.
   * @throws {IssuanceError} if the CA does not issue the certificate, or the order is postponed
   * @throws {StoreError} if the store fails before the challenge answer is published; no certificate is issued then
   * @throws {LockLostError} if the lock is lost before the order is finalized
   */
  async place(request: OrderRequest, lock?: Lock): Promise<Uint8Array> {
    const { id, served } = request
    const { clock, closing, attempts } = this.#parts
    const previous = lock ? await attempts.check(id, closing) : request.previousFailure
    const run = new OrderRun(closing, lock)
    const order = (deadline: AbortSignal) =>
      this.#order({ ...request, previousFailure: previous }, run.until(deadline)).finally(() => run.end())
    const limit = { ms: orderTimeoutMs, clock, error: `the CA did not issue a certificate for "${id.name}"` }
    try {
      const bundle = await withDeadline((deadline) => this.#track(order(deadline)), limit)
      attempts.orderSucceeded(id, previous)
      return bundle
    } catch (thrown) {
      if (closing.aborted || lock?.signal.aborted) throw thrown
      const { hasOrdered } = run
      throw await attempts.orderFailed({ id, error: toOrderError(id, thrown), previous, served, hasOrdered })
    }
  }

  /**
   * Waits up to 10 s until the orders that `closing` has cancelled are cleaned up and those already finalized are
   * complete.
   */
  async close(): Promise<void> {
    const { clock } = this.#parts
    await settleAll([...this.#running], { ms: 10_000, clock, text: 'orders were still in progress' })
  }

  #track<T>(order: Promise<T>): Promise<T> {
    this.#running.add(order)
    const onSettled = () => this.#running.delete(order)
    order.then(onSettled, onSettled)
    return order
  }

  async #order({ id, previousFailure, served }: OrderRequest, run: OrderRun): Promise<Uint8Array> {
    const { answers, clock, challengeTypes } = this.#parts
    const { name } = id
    const key = await generateKey(id.keyType)
    const types = rotate(challengeTypes(), previousFailure?.failures ?? 0)
    const solvers = types.map((type) => run.watch(createSolver(type, answers, clock)))
    const chain = await this.#issuer.issue({ name, key, predecessor: served?.data, solvers }, run)
    const bundle = encodeBundle(key, chain)
    const { fault } = checkBundle(bundle, name, clock.now())
    if (fault === 'expired' || fault === 'not yet valid')
      throw new WrongClockError(
        `the new certificate for "${name}" is ${fault} according to the clock of this machine. Correct the clock.`,
      )
    if (!fault) return bundle
    throw new IssuanceError(
      'ERR_ISSUANCE_FAILED',
      `the CA issued an unusable certificate for "${name}": ${fault}`,
    )
  }
}

/** The run of one order: cancelled by its time limit, by a close, and by the loss of its lock. */
class OrderRun implements Run {
  /** Whether the CA has an order, which has offered a challenge. */
  hasOrdered = false
  readonly #controller = sharedController()
  readonly #lock: Lock | undefined
  readonly #unlinkCancellation: () => void
  #unlinkDeadline = () => {}

  constructor(closing: AbortSignal, lock: Lock | undefined) {
    this.#lock = lock
    // Linked until the order is committed: an issued certificate is fetched even after a close or a lost lock.
    this.#unlinkCancellation = linkAbort(this.#controller, [closing, lock?.signal])
  }

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  get isLockHeld(): boolean {
    return !this.#lock?.signal.aborted
  }

  /** Follows the time limit of the order. */
  until(deadline: AbortSignal): this {
    this.#unlinkDeadline = linkAbort(this.#controller, [deadline])
    return this
  }

  proceed(): void {
    this.signal.throwIfAborted()
    this.#lock?.signal.throwIfAborted()
  }

  extendDeadline(_until: number): void {}

  commit(): void {
    this.proceed()
    this.#unlinkCancellation()
  }

  /** Wraps a solver so that its use sets `hasOrdered`. */
  watch({ type, present }: Solver): Solver {
    return {
      type,
      present: (challenge, run) => {
        this.hasOrdered = true
        return present(challenge, run)
      },
    }
  }

  end(): void {
    this.#unlinkDeadline()
    this.#unlinkCancellation()
  }
}

/** Treats acme-client's plain Errors, and the time limit of an order, as failures of the CA. */
function toOrderError({ name }: CertId, thrown: unknown): Error {
  const error = toError(thrown)
  if (!verdictOf(error).isUnclassified) return error
  const message =
    error instanceof CertCacheError ? error.message : `the order for "${name}" failed: ${error.message}`
  return new IssuanceError('ERR_ISSUANCE_FAILED', message, { cause: error })
}

/** Rotates the challenge types after a failure: port 80 may be blocked, or TLS terminated by a proxy. */
const rotate = <T>(list: readonly T[], by: number): T[] =>
  list.map((_, index) => list[(index + by) % list.length] as T)
