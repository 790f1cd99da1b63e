import { readOrMakeAccountKey } from './account-key.js'
import { AcmeAccount } from './acme.js'
import type { CertCache } from './cache.js'
import { checkBundle, encodeBundle } from './certificate.js'
import type { ChallengeAnswers, ChallengeType } from './challenge.js'
import { type Clock, withDeadline } from './clock.js'
import { CertCacheError, ClosedError, DeadlineError, IssuanceError, StoreError, toError } from './errors.js'
import type { Report } from './events.js'
import { type FailureRecord, FailureRecords } from './failure.js'
import { generateKey } from './keys.js'
import type { KeyType, StoredLayout } from './layout.js'
import type { AcmeSettings } from './manager-options.js'

/** From the decision to order to the checked chain. */
const orderMs = 5 * 60_000

export interface IssuanceParts {
  readonly acme: AcmeSettings
  readonly store: CertCache
  readonly layout: StoredLayout
  readonly answers: ChallengeAnswers
  readonly keyType: KeyType
  readonly clock: Clock
  /** Aborts when the manager is closed. */
  readonly closing: AbortSignal
  /** The challenges that this process has handlers for, the preferred one first. */
  readonly challengeTypes: () => readonly ChallengeType[]
  readonly report: Report
}

/** Gets certificates from the CA, and remembers for the whole fleet when it could not. */
export class Issuance {
  readonly #account: AcmeAccount
  readonly #failures: FailureRecords
  /** Orders whose clean-up may still be under way. */
  readonly #orders = new Set<Promise<unknown>>()

  constructor(private readonly parts: IssuanceParts) {
    const { acme, store, layout, clock } = parts
    this.#account = new AcmeAccount(acme, () => readOrMakeAccountKey(store, layout), clock)
    this.#failures = new FailureRecords(store, layout, clock)
  }

  /**
   * A new key and certificate for a host, in the form the store keeps.
   * @throws {IssuanceError} if the CA would not, or if it is too early to ask it again
   * @throws {StoreError} if the store could not tell what is needed first; nothing was ordered then
   */
  async issue(host: string): Promise<Uint8Array> {
    const { clock, closing } = this.parts
    const record = await this.#failures.check(host, closing)
    const timeout = () => new DeadlineError(`no certificate for ${host} within ${orderMs / 60_000} minutes`)
    let bundle: Uint8Array
    try {
      bundle = await withDeadline((signal) => this.#track(this.#order(host, record, signal)), {
        ms: orderMs,
        clock,
        error: timeout,
        signal: closing,
      })
    } catch (thrown) {
      throw await this.#remember(host, record, thrown)
    }
    // Should this fail, it is reported, and the record only lets the next renewal wait.
    if (record) await this.#failures.remove(host).catch(reportedByStore)
    return bundle
  }

  /** Resolves when no order is under way any more, its challenge answer withdrawn; `closing` ends them. */
  async close(): Promise<void> {
    await Promise.allSettled(this.#orders)
    this.#account.close()
  }

  #track<T>(order: Promise<T>): Promise<T> {
    this.#orders.add(order)
    const done = () => this.#orders.delete(order)
    order.then(done, done)
    return order
  }

  async #order(host: string, record: FailureRecord | undefined, signal: AbortSignal): Promise<Uint8Array> {
    const { answers, keyType, clock } = this.parts
    const key = await generateKey(keyType)
    const chain = await this.#account.order({
      host,
      key,
      challengeTypes: rotate(this.parts.challengeTypes(), record?.failures ?? 0),
      publish: (answer) => answers.publish(answer, signal),
      withdraw: (answer) => answers.withdraw(answer).catch(reportedByStore),
      signal,
    })
    const bundle = encodeBundle(key, chain)
    const { fault } = checkBundle(bundle, host, clock.now())
    if (fault)
      throw new IssuanceError('ERR_ISSUANCE_FAILED', `the CA’s certificate for ${host} is unusable: ${fault}`)
    return bundle
  }

  /** Writes down a failure of the CA's; returns the error to report. A failing store or a close is no such failure. */
  async #remember(host: string, before: FailureRecord | undefined, thrown: unknown): Promise<Error> {
    if (thrown instanceof StoreError || thrown instanceof ClosedError) return thrown
    const error = toIssuanceError(host, thrown)
    const retryAt = await this.#failures.add(host, before, error).catch(reportedByStore)
    const remembered = new IssuanceError(error.code, error.message, {
      cause: error,
      problem: error.problem,
      retryAt,
    })
    this.parts.report('issuanceFailed', { host, error: remembered })
    return remembered
  }
}

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
