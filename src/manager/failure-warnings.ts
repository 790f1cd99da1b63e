import { type Clock, monotonic } from '../util/clock.js'
import { ClosedError, endSentence } from '../util/errors.js'
import { warn } from '../util/safe-call.js'
import type { CertManagerEvents } from './events.js'

/** The interval in which a host or key causes at most one warning. */
const intervalMs = 3_600_000
/**
 * Maximum number of warnings of a kind per interval: clients can cause failures of many hosts, and memory must stay
 * bounded. Each kind has its own, so that failed handshakes hide no failure of the store.
 */
const maxWarnings = 250

/** What failed. An order that fails is reported once, however many handshakes waited for it. */
type Kind = 'order' | 'handshake' | 'store' | 'value'

interface Failure {
  readonly kind: Kind
  /** The host, or the key in the store. */
  readonly subject: string
  readonly description: string
  readonly error?: Error
}

type FailureEvents = Pick<
  CertManagerEvents,
  'handshakeFailed' | 'invalid' | 'issuanceFailed' | 'renewalFailed' | 'storeFailed'
>

const failures: { readonly [E in keyof FailureEvents]: (details: FailureEvents[E][0]) => Failure } = {
  issuanceFailed: ({ host, error }) => ({
    kind: 'order',
    subject: host,
    description: `cannot issue a certificate for "${host}": ${error.message}`,
    error,
  }),
  renewalFailed: ({ host, error }) => ({
    kind: 'order',
    subject: host,
    description: `cannot renew the certificate for "${host}": ${error.message}`,
    error,
  }),
  handshakeFailed: ({ host, error }) => ({
    kind: 'handshake',
    subject: host,
    description: `cannot serve "${host}": ${error.message}`,
    error,
  }),
  storeFailed: ({ key, error }) => ({ kind: 'store', subject: key, description: error.message, error }),
  invalid: ({ host, key, reason }) => ({
    kind: 'value',
    subject: host,
    description: `ignored the certificate stored as "${key}" for "${host}": ${reason}`,
  }),
}

/**
 * Reports failures as process warnings if no listener receives them: one per host and hour, or for `storeFailed` one
 * per key and hour. An error that several events report causes one warning. After 250 warnings of a kind in an hour,
 * one more says that the others are suppressed.
 */
export class FailureWarnings {
  /** When each subject last caused a warning, in monotonic milliseconds; the earliest first. */
  readonly #warnedAt: Readonly<Record<Kind, Map<string, number>>> = {
    order: new Map(),
    handshake: new Map(),
    store: new Map(),
    value: new Map(),
  }
  /** Errors that a listener has received, or that were considered for a warning. */
  readonly #reported = new WeakSet<Error>()
  readonly #now: () => number

  constructor(clock: Clock) {
    this.#now = monotonic(clock)
  }

  /** Handles an event that was emitted. @param isHandled whether the event has a listener */
  onEmitted<E extends keyof CertManagerEvents>(
    event: E,
    details: CertManagerEvents[E][0],
    isHandled: boolean,
  ): void {
    if (!isFailure(event)) return
    const toFailure = failures[event] as (details: CertManagerEvents[E][0]) => Failure
    const { kind, subject, description, error } = toFailure(details)
    const isReported = error !== undefined && this.#isReported(error)
    if (error) this.#reported.add(error)
    this.#removeOld()
    // After `close()` handshakes fail by design.
    if (isHandled || isReported || error instanceof ClosedError) return
    if (kind === 'handshake' && this.#warnedAt.order.has(subject)) return
    const warnedAt = this.#warnedAt[kind]
    if (warnedAt.has(subject)) return
    if (warnedAt.size < maxWarnings) {
      warnedAt.set(subject, this.#now())
      warn(`${endSentence(description)} Listen to "${event}" to handle this.`, error)
    } else if (!warnedAt.has(overflow)) {
      warnedAt.set(overflow, this.#now())
      warn(
        `further failures like this are not shown: more than ${maxWarnings} in an hour. Listen to "${event}".`,
      )
    }
  }

  #isReported(error: Error): boolean {
    return this.#reported.has(error) || (error.cause instanceof Error && this.#reported.has(error.cause))
  }

  #removeOld(): void {
    for (const warnedAt of Object.values(this.#warnedAt)) {
      for (const [subject, time] of warnedAt) {
        if (this.#now() - time < intervalMs) break
        warnedAt.delete(subject)
      }
    }
  }
}

/** The subject of the last warning of a kind. Neither a host nor a key. */
const overflow = ''

const isFailure = (event: keyof CertManagerEvents): event is keyof FailureEvents => event in failures
