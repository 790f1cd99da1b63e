import type { StoreOperation } from '../cache/monitored-cert-cache.js'
import type { CertificateSource } from '../certificates/secure-contexts.js'
import type { AnsweredChallenge } from '../issuance/challenge-answers.js'

export interface CertificateEvent {
  readonly host: string
  readonly serialNumber: string
  readonly notAfter: Date
}

/**
 * The events of a `CertManager`. None is called `error`, so none has to be listened to; a listener that throws
 * or rejects becomes a process warning.
 */
export interface CertManagerEvents {
  /** A handshake was answered with the host's certificate. The most frequent event: once per full handshake. */
  served: [{ host: string; source: CertificateSource; durationMs: number }]
  /**
   * A handshake, or a challenge request, for a name that is no DNS name or that `hostPolicy` does not allow; or
   * challenge requests that came too fast. Nothing was read for it.
   */
  refused: [{ servername: string; reason: 'name' | 'policy' | 'rate' }]
  /** A handshake, or a challenge request, for an allowed host that could not be answered; `attach()` too. */
  handshakeFailed: [{ host: string; error: Error }]
  /** A certificate was read from the store into memory. */
  loaded: [CertificateEvent]
  /** A newer certificate, which another machine has ordered, was read from the store in place of the one in memory. */
  adopted: [CertificateEvent]
  /** A certificate was ordered from the CA, the first for its host. */
  issued: [CertificateEvent & { durationMs: number }]
  /** A certificate was ordered in place of one that was due. */
  renewed: [CertificateEvent & { durationMs: number }]
  /** An order failed; see the error's `problem` and `retryAt`. */
  issuanceFailed: [{ host: string; error: Error }]
  /** A certificate is due and could not be replaced yet; it is served on until it expires. */
  renewalFailed: [{ host: string; error: Error }]
  /** Stored bytes that can't be served for their host; treated as a miss. */
  invalid: [{ host: string; key: string; reason: string }]
  /** A store operation failed, or a lock was lost. A failed `put` of a certificate is repeated. */
  storeFailed: [{ operation: StoreOperation; key: string; error: Error }]
  /** A challenge of the CA was answered here. */
  challengeAnswered: [AnsweredChallenge]
}

/** Tells the listeners; never throws. */
export type Report = <E extends keyof CertManagerEvents>(event: E, details: CertManagerEvents[E][0]) => void
