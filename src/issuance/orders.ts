import type { ChallengeType } from '../acme/challenges.js'
import type { Issuer } from '../acme/issuer.js'
import { checkBundle, encodeBundle, type Validity } from '../certificates/certificate-bundle.js'
import type { CertId } from '../certificates/certificate-id.js'
import { generateKey } from '../certificates/private-key.js'
import type { Clock } from '../util/clock.js'
import { settleAll } from '../util/deadline.js'
import {
  CertCacheError,
  ClosedError,
  DeadlineError,
  IssuanceError,
  ProcessFailureError,
  toError,
  WrongClockError,
} from '../util/errors.js'
import { verdictOf } from '../util/verdict.js'
import type { Attempts } from './attempts.js'
import type { ChallengeAnswers } from './challenges/challenge-answers.js'
import { createSolver } from './challenges/solvers.js'
import { ClockCheck } from './clock-check.js'
import { type Lock, OrderRun } from './order-run.js'
import type { CaStore } from './store/ca-store.js'
import type { FailureRecord } from './store/records.js'

/** How long an order relies on a write that the store has taken. */
const maxProofAgeMs = 5_000
/** How long `close()` waits for the certificates of orders that are already finalized. */
const closeTimeoutMs = 8_000

interface OrdersParts {
  readonly store: CaStore
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
  /** The certificate to be replaced, as stored, if it is still served; and when it is due. */
  readonly served: (Validity & { readonly data: Uint8Array; readonly renewAt: number }) | undefined
}

type OrderIssuer = Pick<Issuer, 'issue' | 'prepare' | 'clockOffsetMs'>

/** An issued certificate. */
export interface PlacedOrder {
  /** Key and chain in the form in which they are stored. */
  readonly data: Uint8Array
  /** The failure record that the order has made obsolete. */
  readonly previousFailure: FailureRecord | undefined
  /** The CA's clock minus this machine's, in milliseconds. `undefined` if it is unknown. */
  readonly clockOffsetMs: number | undefined
}

/** Orders certificates from an issuer, and records failed orders as far as their cause reaches. */
export class Orders {
  /** Orders in progress, including their clean-up. */
  readonly #running = new Map<OrderRun, Promise<unknown>>()
  readonly #clockCheck: ClockCheck
  readonly #parts: OrdersParts
  readonly #issuer: OrderIssuer

  constructor(parts: OrdersParts, issuer: OrderIssuer) {
    this.#parts = parts
    this.#issuer = issuer
    this.#clockCheck = new ClockCheck(parts.clock)
  }

  /**
   * Checks that this process can reach the CA, and that the store takes a write. Call it before the fleet's lock is
   * requested: a machine that cannot order must not keep the others from it.
   * @throws {IssuanceError} if the CA does not respond
   * @throws {StoreError} if the store does not take a write
   */
  async prepare({ id, previousFailure: previous, served }: OrderRequest): Promise<void> {
    const { attempts, closing, store } = this.#parts
    try {
      await this.#issuer.prepare(closing)
      this.#checkClock(id, served, false)
      await store.proveWritable({ signal: closing })
    } catch (thrown) {
      if (closing.aborted) throw thrown
      throw await attempts.orderFailed({
        id,
        error: toOrderError(id, thrown, false),
        previous,
        served,
        hasOrdered: false,
      })
    }
  }

  /**
   * Orders a certificate with a new key.
   * @param lock the fleet's lock for the certificate. With a lock the failure record is read again.
   * @throws {IssuanceError} if the CA does not issue the certificate, or the order is postponed
   * @throws {StoreError} if the store fails before the challenge answer is published; no certificate is issued then
   * @throws {LockLostError} if the lock is lost before the order is finalized
   */
  async place(request: OrderRequest, lock?: Lock): Promise<PlacedOrder> {
    const { id, served } = request
    const { clock, closing, attempts } = this.#parts
    const isRenewal = served !== undefined
    const previous = lock ? await attempts.check(id, closing, isRenewal) : request.previousFailure
    const run = new OrderRun(id.name, { clock, closing, lock })
    try {
      const order = this.#track(run, this.#order({ ...request, previousFailure: previous }, run))
      const data = await run.until(order)
      return { data, previousFailure: previous, clockOffsetMs: this.#issuer.clockOffsetMs }
    } catch (thrown) {
      if (closing.aborted || lock?.signal.aborted) throw thrown
      const { hasOrdered, isAwaitingCa } = run
      const error = toOrderError(id, thrown, isAwaitingCa)
      throw await attempts.orderFailed({ id, error, previous, served, hasOrdered })
    }
  }

  /**
   * Waits up to 8 s until the orders that `closing` has cancelled are cleaned up and those already finalized are
   * complete, then ends them.
   */
  async close(): Promise<void> {
    const { clock } = this.#parts
    const limit = { ms: closeTimeoutMs, clock, text: 'orders were still in progress' }
    await settleAll([...this.#running.values()], limit)
    for (const run of this.#running.keys()) run.end(new ClosedError('the CertManager was closed'))
  }

  #checkClock({ name }: CertId, served: OrderRequest['served'], isPlaced: boolean): void {
    const { clockOffsetMs: offsetMs } = this.#issuer
    this.#clockCheck.assertMayOrder(name, { offsetMs, renewAt: served?.renewAt, isPlaced })
  }

  #track<T>(run: OrderRun, order: Promise<T>): Promise<T> {
    this.#running.set(run, order)
    const onSettled = () => {
      this.#running.delete(run)
      run.unlink()
    }
    order.then(onSettled, onSettled)
    return order
  }

  async #order({ id, previousFailure, served }: OrderRequest, run: OrderRun): Promise<Uint8Array> {
    const { store, answers, clock, challengeTypes } = this.#parts
    const { name } = id
    this.#checkClock(id, served, true)
    // The wait for the lock may have been long.
    await store.proveWritable({ signal: run.signal, maxAgeMs: maxProofAgeMs })
    const key = await generateKey(id.keyType)
    const failures = previousFailure?.early ? 0 : (previousFailure?.failures ?? 0)
    const types = rotate(challengeTypes(), failures)
    const solvers = types.map((type) => run.watch(createSolver(type, id, { answers, store, clock })))
    const chain = await this.#issuer.issue({ name, key, predecessor: served?.data, solvers }, run)
    const bundle = encodeBundle(key, chain)
    const { fault } = checkBundle(bundle, id, clock.now())
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

/**
 * Returns an error of this package. The issuer throws one for whatever the CA does, so this process is to blame for any
 * other error, such as a lack of descriptors or memory. The CA is to blame if it does not complete an order in time that
 * waits for it alone.
 */
function toOrderError({ name }: CertId, thrown: unknown, isAwaitingCa: boolean): Error {
  const error = toError(thrown)
  if (!verdictOf(error).isUnclassified) return error
  const options = { cause: error }
  if (!(error instanceof CertCacheError))
    return new ProcessFailureError(`the order for "${name}" failed: ${error.message}`, options)
  return error instanceof DeadlineError && isAwaitingCa
    ? new IssuanceError('ERR_ISSUANCE_FAILED', error.message, options)
    : new ProcessFailureError(error.message, options)
}

/** Rotates the challenge types after a failure: port 80 may be blocked, or TLS terminated by a proxy. */
const rotate = <T>(list: readonly T[], by: number): T[] =>
  list.map((_, index) => list[(index + by) % list.length] as T)
