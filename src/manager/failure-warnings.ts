import { type Clock, monotonic } from '../util/clock.js'
import { ClosedError } from '../util/errors.js'
import type { CertManagerEvents } from './events.js'

/** The interval in which a host or key causes at most one warning. */
const intervalMs = 3_600_000
/** Maximum number of warnings per interval: clients can cause failures of many hosts, and memory must stay bounded. */
const maxWarnings = 1_000

interface Failure {
  /** At most one warning per interval. */
  readonly subject: string
  /** A subject whose warning also explains this failure. */
  readonly consequenceOf?: string
  readonly description: string
  readonly error?: Error
}

type FailureEvents = Pick<
  CertManagerEvents,
  'handshakeFailed' | 'invalid' | 'issuanceFailed' | 'renewalFailed' | 'storeFailed'
>

const failures: { readonly [E in keyof FailureEvents]: (details: FailureEvents[E][0]) => Failure } = {
  issuanceFailed: ({ host, error }) => ({
    subject: `order ${host}`,
    description: `cannot issue a certificate for "${host}": ${error.message}`,
    error,
  }),
  renewalFailed: ({ host, error }) => ({
    subject: `order ${host}`,
    description: `cannot renew the certificate for "${host}": ${error.message}`,
    error,
  }),
  handshakeFailed: ({ host, error }) => ({
    subject: `handshake ${host}`,
    consequenceOf: `order ${host}`,
    description: `cannot serve "${host}": ${error.message}`,
    error,
  }),
  storeFailed: ({ key, error }) => ({ subject: `store ${key}`, description: error.message, error }),
  invalid: ({ host, key, reason }) => ({
    subject: `invalid ${host}`,
    description: `ignored the certificate stored as "${key}" for "${host}": ${reason}`,
  }),
}

/**
 * Reports failures as process warnings if no listener receives them: one per host and hour, or for `storeFailed` one
 * per key and hour. An error that several events report causes one warning. After 1,000 warnings in an hour, one more
 * says that the others are suppressed.
 */
export class FailureWarnings {
  /** When each subject last caused a warning, in monotonic milliseconds; the earliest first. */
  readonly #warnedAt = new Map<string, number>()
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
    const { subject, consequenceOf = subject, description, error } = toFailure(details)
    const isReported = error !== undefined && this.#isReported(error)
    if (error) this.#reported.add(error)
    this.#removeOld()
    // After `close()` handshakes fail by design.
    if (isHandled || isReported || error instanceof ClosedError || this.#warnedAt.has(consequenceOf)) return
    if (this.#warnedAt.size < maxWarnings)
      this.#warnOnce(subject, `${endSentence(description)} Listen to "${event}" to handle this.`, error)
    else this.#warnOnce('overflow', `further failures are not shown: more than ${maxWarnings} in an hour.`)
  }

  #isReported(error: Error): boolean {
    return this.#reported.has(error) || (error.cause instanceof Error && this.#reported.has(error.cause))
  }

  #removeOld(): void {
    for (const [subject, warnedAt] of this.#warnedAt) {
      if (this.#now() - warnedAt < intervalMs) return
      this.#warnedAt.delete(subject)
    }
  }

  #warnOnce(subject: string, text: string, error?: Error): void {
    if (this.#warnedAt.has(subject)) return
    this.#warnedAt.set(subject, this.#now())
    const { code } = Object(error) as { code?: string }
    process.emitWarning(`acme-cert-cache: ${text}`, { type: 'CertCacheWarning', ...(code && { code }) })
  }
}

const isFailure = (event: keyof CertManagerEvents): event is keyof FailureEvents => event in failures

/** Ends a text with a full stop, and replaces control characters: the CA and the store may have sent part of it. */
function endSentence(text: string): string {
  const line = text.replace(/\p{Cc}+/gu, ' ').trimEnd()
  return /[.!?]$/.test(line) ? line : `${line}.`
}
