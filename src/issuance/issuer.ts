import type { AcmeAccount } from '../acme/account.js'
import type { ChallengeType } from '../acme/challenges.js'
import type { RenewalInfo } from '../acme/renewal-info.js'
import type { CertCacheLock } from '../cache/cert-cache.js'
import { checkBundle, encodeBundle } from '../certificates/certificate-bundle.js'
import { generateKey } from '../certificates/private-key.js'
import type { KeyType } from '../certificates/storage-layout.js'
import type { Clock } from '../util/clock.js'
import { linkAbort, sharedController, withDeadline } from '../util/deadline.js'
import {
  CertCacheError,
  ClosedError,
  DeadlineError,
  IssuanceError,
  LockLostError,
  StoreError,
  toError,
} from '../util/errors.js'
import { warnUnhandled } from '../util/safe-call.js'
import type { ChallengeAnswers } from './challenge-answers.js'
import type { FailureRecord, FailureRecords, ValidityPeriod } from './failure-records.js'

/** Time limit of an order, from its start to the validated chain. */
const orderTimeoutMs = 5 * 60_000
/** How long `close` waits for orders that can no longer be cancelled. */
const closeTimeoutMs = 10_000

type Lock = Pick<CertCacheLock, 'signal'>

export interface IssuerParts {
  readonly answers: ChallengeAnswers
  readonly failures: FailureRecords
  readonly keyType: KeyType
  readonly clock: Clock
  /** Aborts when the manager is closed. */
  readonly closing: AbortSignal
  /** Returns the challenge types that this process can answer, in order of preference. */
  readonly challengeTypes: () => readonly ChallengeType[]
  /** Called for each failure caused by the CA, by a wrong clock of this machine, or by an invalid option. */
  readonly onFailed: (failure: { host: string; error: Error }) => void
}

export interface CertificateRequest {
  readonly host: string
  /** The host's failure record as it was before the lock was acquired. */
  readonly previousFailure: FailureRecord | undefined
  /** The certificate to be replaced, as stored, if it is still served. */
  readonly served: (ValidityPeriod & { readonly data: Uint8Array }) | undefined
}

/** The operations of a CA that are used here; see {@link AcmeAccount}. */
export type CertificateAuthority = Pick<AcmeAccount, 'order' | 'renewalInfo' | 'close'>

/** Orders certificates from the CA, and records failed orders for the whole fleet. */
export class Issuer {
  /** Orders in progress, including their clean-up. */
  readonly #orders = new Set<Promise<unknown>>()

  private readonly parts: IssuerParts
  private readonly ca: CertificateAuthority

  constructor(parts: IssuerParts, ca: CertificateAuthority) {
    this.parts = parts
    this.ca = ca
  }

  /** Asks the CA when a certificate should be renewed. @param data as stored */
  renewalInfo(data: Uint8Array): Promise<RenewalInfo> {
    return this.ca.renewalInfo(data)
  }

  /**
   * Orders a certificate for a host with a new key. Resolves with both in the form in which they are stored.
   * @param lock the fleet's lock for the host. With a lock the failure record is read again.
   * @throws {IssuanceError} if the CA does not issue the certificate, or the order is postponed
   * @throws {StoreError} if the store fails before the challenge answer is published; no certificate is issued then
   * @throws {LockLostError} if the lock is lost before the order is finalized
   */
  async issue(request: CertificateRequest, lock?: Lock): Promise<Uint8Array> {
    const { host } = request
    const { clock, closing, failures } = this.parts
    const previousFailure = lock ? await failures.check(host, closing) : request.previousFailure
    const error = () =>
      new DeadlineError(`no certificate for ${host} within ${orderTimeoutMs / 60_000} minutes`)
    const progress = { hasOrdered: false }
    let bundle: Uint8Array
    try {
      bundle = await withDeadline(
        (signal) => this.#track(this.#order({ ...request, previousFailure }, progress, signal, lock)),
        { ms: orderTimeoutMs, clock, error },
      )
    } catch (thrown) {
      if (closing.aborted || lock?.signal.aborted) throw thrown
      throw await this.#recordFailure({ ...request, previousFailure }, progress, thrown)
    }
    // Not awaited: storing the certificate comes first.
    if (previousFailure) failures.remove(host).catch(ignoreReported)
    return bundle
  }

  /**
   * Waits up to 10 s until the orders that `closing` has cancelled are cleaned up and those already finalized are
   * complete, then closes the connections to the CA.
   */
  async close(): Promise<void> {
    const { clock } = this.parts
    const error = () =>
      new DeadlineError(`orders were still under way ${closeTimeoutMs / 1_000} s after close`)
    const bound = { ms: closeTimeoutMs, clock, error }
    await withDeadline(() => Promise.allSettled(this.#orders), bound).catch(warnUnhandled)
    this.ca.close()
  }

  #track<T>(order: Promise<T>): Promise<T> {
    this.#orders.add(order)
    const onSettled = () => this.#orders.delete(order)
    order.then(onSettled, onSettled)
    return order
  }

  async #order(
    { host, previousFailure, served }: CertificateRequest,
    progress: { hasOrdered: boolean },
    deadline: AbortSignal,
    lock: Lock | undefined,
  ): Promise<Uint8Array> {
    const { answers, keyType, clock, closing } = this.parts
    const key = await generateKey(keyType)
    const controller = sharedController()
    const { signal } = controller
    const unfollowDeadline = linkAbort(controller, [deadline])
    // Followed until the order is finalized: a certificate that exists is fetched despite a close or a lost lock.
    const unfollowCancellation = linkAbort(controller, [closing, lock?.signal])
    const proceed = () => {
      signal.throwIfAborted()
      lock?.signal.throwIfAborted()
    }
    const chain = await this.ca
      .order({
        host,
        key,
        predecessor: served?.data,
        challengeTypes: rotate(this.parts.challengeTypes(), previousFailure?.failures ?? 0),
        publish: (answer) => {
          progress.hasOrdered = true
          return answers.publish(answer, signal)
        },
        withdraw: (answer) =>
          answers.withdraw(answer, { mayBeReplaced: lock?.signal.aborted ?? false }).catch(ignoreReported),
        signal,
        proceed,
        commit() {
          proceed()
          unfollowCancellation()
        },
      })
      .finally(() => {
        unfollowDeadline()
        unfollowCancellation()
      })
    const bundle = encodeBundle(key, chain)
    const { fault } = checkBundle(bundle, host, clock.now())
    if (fault === 'expired' || fault === 'not yet valid') throw new WrongClockError(host, fault)
    if (fault)
      throw new IssuanceError('ERR_ISSUANCE_FAILED', `the CA’s certificate for ${host} is unusable: ${fault}`)
    return bundle
  }

  /**
   * Records a failed order and returns the error to throw. A failure caused by the CA is recorded for the whole fleet.
   * A wrong clock, or a store that failed after the order was placed, is recorded for this process alone, so that it
   * does not place one order after another.
   */
  async #recordFailure(
    { host, previousFailure, served }: CertificateRequest,
    { hasOrdered }: { hasOrdered: boolean },
    thrown: unknown,
  ): Promise<Error> {
    const { failures, onFailed } = this.parts
    const isLocal = thrown instanceof WrongClockError || (thrown instanceof StoreError && hasOrdered)
    if (isLocal) failures.addLocal(host, previousFailure, thrown)
    if (thrown instanceof WrongClockError || isMisconfiguration(thrown)) onFailed({ host, error: thrown })
    if (isMisconfiguration(thrown) || notCausedByCa.some((type) => thrown instanceof type))
      return thrown as Error
    const error = toIssuanceError(host, thrown)
    const retryAt = await failures.add(host, previousFailure, error, served)
    const options = { cause: error, problem: error.problem, retryAt }
    const withRetryAt = new IssuanceError(error.code, error.message, options)
    onFailed({ host, error: withRetryAt })
    return withRetryAt
  }
}

/** The CA's certificate is outside its validity period by this machine's clock. Does not affect other machines. */
class WrongClockError extends IssuanceError {
  constructor(host: string, fault: string) {
    super(
      'ERR_ISSUANCE_FAILED',
      `the CA’s new certificate for ${host} is ${fault} by this machine’s clock: set the clock right`,
    )
    this.name = IssuanceError.name
  }
}

const notCausedByCa = [StoreError, LockLostError, ClosedError, WrongClockError]

/** Not recorded: nothing was ordered, and the next attempt may follow as soon as the option is corrected. */
const isMisconfiguration = (thrown: unknown): thrown is IssuanceError =>
  thrown instanceof IssuanceError && thrown.code === 'ERR_ACME_PROFILE'

/** acme-client throws plain Errors. */
function toIssuanceError(host: string, thrown: unknown): IssuanceError {
  if (thrown instanceof IssuanceError) return thrown
  const error = toError(thrown)
  const message =
    thrown instanceof CertCacheError ? error.message : `no certificate for ${host}: ${error.message}`
  return new IssuanceError('ERR_ISSUANCE_FAILED', message, { cause: error })
}

/** Rotates the challenge types after a failure: port 80 may be blocked, or TLS terminated by a proxy. */
const rotate = <T>(list: readonly T[], by: number): T[] =>
  list.map((_, index) => list[(index + by) % list.length] as T)

/** Handles a rejection of the store, which has reported it as an event. */
const ignoreReported = () => undefined
