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
import type { FailureRecord, FailureRecords, Lifetime } from './failure-records.js'

/** How long a close waits for orders that can't be given up any more. */
const closeMs = 10_000

type Lock = Pick<CertCacheLock, 'signal'>

/** From the decision to order to the checked chain. */
const orderMs = 5 * 60_000

export interface IssuerParts {
  readonly answers: ChallengeAnswers
  readonly failures: FailureRecords
  readonly keyType: KeyType
  readonly clock: Clock
  /** Aborts when the manager is closed. */
  readonly closing: AbortSignal
  /** The challenges that this process has handlers for, the preferred one first. */
  readonly challengeTypes: () => readonly ChallengeType[]
  /** Called with each failure that is the CA's, this machine's clock's or an option's. */
  readonly onFailed: (failure: { host: string; error: Error }) => void
}

export interface WantedCertificate {
  readonly host: string
  readonly before: FailureRecord | undefined
  readonly served: (Lifetime & { readonly data: Uint8Array }) | undefined
}

/** What is asked of a CA; see {@link AcmeAccount}. */
export type CertificateAuthority = Pick<AcmeAccount, 'order' | 'renewalInfo' | 'close'>

/** Gets certificates from the CA, and remembers for the whole fleet when it could not. */
export class Issuer {
  /** Orders whose clean-up may still be under way. */
  readonly #orders = new Set<Promise<unknown>>()

  private readonly parts: IssuerParts
  private readonly ca: CertificateAuthority

  constructor(parts: IssuerParts, ca: CertificateAuthority) {
    this.parts = parts
    this.ca = ca
  }

  /** When the CA would have a certificate replaced. @param data as stored */
  suggestion(data: Uint8Array): Promise<RenewalInfo> {
    return this.ca.renewalInfo(data)
  }

  /**
   * A new key and certificate for a host, in the form the store keeps.
   * @param wanted.before the failure record that was read before the lock was taken; under a lock it is read again
   * @param wanted.served what it is to replace
   * @throws {IssuanceError} if the CA would not, or if it is too early to ask it again
   * @throws {StoreError} if the store could not tell what is needed first; nothing was ordered then
   * @throws {LockLostError} if the lock was lost on the way
   */
  async issue(wanted: WantedCertificate, lock?: Lock): Promise<Uint8Array> {
    const { host, before } = wanted
    const { clock, closing, failures } = this.parts
    const record = lock ? await failures.check(host, closing) : before
    const timeout = () => new DeadlineError(`no certificate for ${host} within ${orderMs / 60_000} minutes`)
    const progress = { ordered: false }
    let bundle: Uint8Array
    try {
      bundle = await withDeadline(
        (signal) => this.#track(this.#order(wanted, record, progress, signal, lock)),
        {
          ms: orderMs,
          clock,
          error: timeout,
        },
      )
    } catch (thrown) {
      if (closing.aborted || lock?.signal.aborted) throw thrown
      throw await this.#remember(wanted, record, progress, thrown)
    }
    // Not waited for: first of all the certificate is to be stored.
    if (record) failures.remove(host).catch(reportedByStore)
    return bundle
  }

  /** Resolves when no order is under way any more, its challenge answer withdrawn; `closing` ends them. */
  async close(): Promise<void> {
    const { clock } = this.parts
    const error = () => new DeadlineError(`orders were still under way ${closeMs / 1_000} s after close`)
    await withDeadline(() => Promise.allSettled(this.#orders), { ms: closeMs, clock, error }).catch(
      warnUnhandled,
    )
    this.ca.close()
  }

  #track<T>(order: Promise<T>): Promise<T> {
    this.#orders.add(order)
    const done = () => this.#orders.delete(order)
    order.then(done, done)
    return order
  }

  async #order(
    { host, served }: WantedCertificate,
    record: FailureRecord | undefined,
    progress: { ordered: boolean },
    deadline: AbortSignal,
    lock: Lock | undefined,
  ): Promise<Uint8Array> {
    const { answers, keyType, clock, closing } = this.parts
    const key = await generateKey(keyType)
    const order = sharedController()
    const { signal } = order
    const unlink = linkAbort(order, [deadline])
    // What has been finalized is a certificate: then neither a close nor a lost lock throws it away.
    const untilCommit = linkAbort(order, [closing, lock?.signal])
    const proceed = () => {
      signal.throwIfAborted()
      lock?.signal.throwIfAborted()
    }
    const chain = await this.ca
      .order({
        host,
        key,
        replaced: served?.data,
        challengeTypes: rotate(this.parts.challengeTypes(), record?.failures ?? 0),
        publish: (answer) => {
          progress.ordered = true
          return answers.publish(answer, signal)
        },
        withdraw: (answer) =>
          answers.withdraw(answer, { mayBeReplaced: lock?.signal.aborted ?? false }).catch(reportedByStore),
        signal,
        proceed,
        commit() {
          proceed()
          untilCommit()
        },
      })
      .finally(() => {
        unlink()
        untilCommit()
      })
    const bundle = encodeBundle(key, chain)
    const { fault } = checkBundle(bundle, host, clock.now())
    if (fault === 'expired' || fault === 'not yet valid') throw new WrongClockError(host, fault)
    if (fault)
      throw new IssuanceError('ERR_ISSUANCE_FAILED', `the CA’s certificate for ${host} is unusable: ${fault}`)
    return bundle
  }

  /**
   * Writes down a failure of the CA's; returns the error to report. A failing store, a lost lock, a close and an
   * option that is wrong are none; but a store that failed after something was ordered must not cause one order after
   * the other.
   */
  async #remember(
    { host, served }: WantedCertificate,
    before: FailureRecord | undefined,
    { ordered }: { ordered: boolean },
    thrown: unknown,
  ): Promise<Error> {
    const { failures, onFailed } = this.parts
    const isOurs = thrown instanceof WrongClockError || (thrown instanceof StoreError && ordered)
    if (isOurs) failures.hold(host, before, thrown)
    if (thrown instanceof WrongClockError || isMisconfigured(thrown)) onFailed({ host, error: thrown })
    const blameless = [StoreError, LockLostError, ClosedError, WrongClockError].some(
      (kind) => thrown instanceof kind,
    )
    if (blameless || isMisconfigured(thrown)) return thrown as Error
    const error = toIssuanceError(host, thrown)
    const retryAt = await failures.add(host, before, error, served)
    const remembered = new IssuanceError(error.code, error.message, {
      cause: error,
      problem: error.problem,
      retryAt,
    })
    onFailed({ host, error: remembered })
    return remembered
  }
}

/** No other machine needs to suffer from it. */
class WrongClockError extends IssuanceError {
  constructor(host: string, fault: string) {
    super(
      'ERR_ISSUANCE_FAILED',
      `the CA’s new certificate for ${host} is ${fault} by this machine’s clock: set the clock right`,
    )
    this.name = IssuanceError.name
  }
}

/** Nothing was asked of the CA, and once the option is right nothing should stand in the way. */
const isMisconfigured = (thrown: unknown): thrown is IssuanceError =>
  thrown instanceof IssuanceError && thrown.code === 'ERR_ACME_PROFILE'

/** acme-client throws bare Errors. */
function toIssuanceError(host: string, thrown: unknown): IssuanceError {
  if (thrown instanceof IssuanceError) return thrown
  const error = toError(thrown)
  const message =
    thrown instanceof CertCacheError ? error.message : `no certificate for ${host}: ${error.message}`
  return new IssuanceError('ERR_ISSUANCE_FAILED', message, { cause: error })
}

/** After a failure another challenge may do better: port 80 blocked, TLS ended elsewhere, … */
const rotate = <T>(list: readonly T[], by: number): T[] =>
  list.map((_, index) => list[(index + by) % list.length] as T)

/** The store's failures have been reported as events by the time they arrive here. */
const reportedByStore = () => undefined
