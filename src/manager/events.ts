import type { StoreOperation } from '../cache/monitored-cert-cache.js'
import type { CertificateSource } from '../certificates/live-certificate.js'
import type { AnsweredChallenge } from '../issuance/challenges/challenge-answers.js'
import type { Clock } from '../util/clock.js'

/** The certificate that an event is about. */
export interface CertificateEvent {
  readonly host: string
  readonly serialNumber: string
  readonly notAfter: Date
}

/**
 * The events of a `CertManager`. None is named `error`, so an event without a listener never ends the process. If one of
 * the failure events (`handshakeFailed`, `issuanceFailed`, `renewalFailed`, `storeFailed`, `invalid`) has no listener,
 * a process warning of type `CertCacheWarning` is emitted: one per host and hour, or for `storeFailed` one per key and
 * hour. A listener that throws or rejects also causes a process warning. Durations are in milliseconds.
 */
export interface CertManagerEvents {
  /** A handshake was answered with the host's certificate. The most frequent event: once per full handshake. */
  served: [{ host: string; source: CertificateSource; durationMs: number }]
  /**
   * A handshake or a challenge request was refused. `name`: not a DNS name, or empty if an http-01 request names no
   * host; `policy`: `hostPolicy` does not allow the host; `rate`: too many challenge requests. Nothing was read from the
   * store.
   */
  refused: [{ servername: string; reason: 'name' | 'policy' | 'rate' }]
  /** A handshake or a challenge request for an allowed host failed, or `attach()` could not get a certificate. */
  handshakeFailed: [{ host: string; error: Error }]
  /** A certificate was read from the store; memory had none for its host. */
  loaded: [CertificateEvent]
  /** A newer certificate, ordered by another machine, was read from the store and replaces the one in memory. */
  adopted: [CertificateEvent]
  /** A certificate was ordered from the CA for a host that had none. */
  issued: [CertificateEvent & { durationMs: number }]
  /** A certificate was ordered from the CA to replace the one being served. */
  renewed: [CertificateEvent & { durationMs: number }]
  /** An order failed; see the error's `problem` and `retryAt`. */
  issuanceFailed: [{ host: string; error: Error }]
  /** A certificate that is due could not be renewed. It is served until it expires. */
  renewalFailed: [{ host: string; error: Error }]
  /** Stored bytes cannot be served for their host, and are treated as a miss. */
  invalid: [{ host: string; key: string; reason: string }]
  /** A store operation failed, or a lock was lost. A failed `put` of a certificate is retried. */
  storeFailed: [{ operation: StoreOperation; key: string; error: Error }]
  /** This process answered a challenge of the CA. */
  challengeAnswered: [AnsweredChallenge]
}

/** What the parts of a manager share. */
export interface ManagerContext {
  readonly clock: Clock
  /** Aborts when the manager is closed. */
  readonly closing: AbortSignal
  readonly report: Report
}

/** Emits an event. Never throws. */
export type Report = <E extends keyof CertManagerEvents>(event: E, details: CertManagerEvents[E][0]) => void
