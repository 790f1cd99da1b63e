import type { KeyObject } from 'node:crypto'
import type { CertName } from '../certificates/certificate-id.js'
import type { ChallengeType } from './challenges.js'
import type { RenewalInfo } from './renewal-info.js'

/** One run of an operation with effects outside this process, such as an order. Cancellable until it is committed. */
export interface Run {
  /** Aborts when the work is cancelled. */
  readonly signal: AbortSignal
  /** Whether the fleet's lock is held, as far as this process knows. True if there is no lock. */
  readonly isLockHeld: boolean
  /** Whether a lock of the fleet is held, so that no other machine can have the same order. False if there is no lock. */
  readonly isExclusive: boolean
  /** Called before each step with an effect outside this process. Throws if the work is cancelled. */
  proceed(): void
  /**
   * Extends the time limit of the work to this time, in milliseconds since the epoch, within an upper bound. Called if
   * the CA's `Retry-After` asks for more time (RFC 8555 section 7.4).
   */
  extendDeadline(until: number): void
  /** Called before the last step. Throws if the work is cancelled. After this call it can no longer be cancelled. */
  commit(): void
}

/** A challenge to prove control of a name (RFC 8555 section 8). */
export interface Challenge {
  readonly name: CertName
  readonly token: string
  readonly keyAuthorization: string
}

/** Answers the challenges of one type. */
export interface Solver {
  readonly type: ChallengeType
  /**
   * Publishes the answer. Resolves, once every machine can give it, with a function that withdraws the answer and never
   * rejects. If this method rejects, the answer has been withdrawn.
   */
  present(challenge: Challenge, run: Run): Promise<() => Promise<void>>
}

/** A certificate to be issued. */
export interface CertificateRequest {
  readonly name: CertName
  /** The private key of the certificate, new for each order. */
  readonly key: KeyObject
  /** The certificate that the new one replaces (RFC 9773 section 5): PEM, leaf first. */
  readonly predecessor: Uint8Array | undefined
  /** In order of preference. */
  readonly solvers: readonly Solver[]
}

/** A CA that issues certificates. */
export interface Issuer {
  /**
   * Resolves once the CA has responded to this process within the last seconds. Concurrent calls share the requests.
   * Call it before the fleet's lock is acquired: a machine that cannot reach the CA must not hold the lock.
   * @throws {IssuanceError} a `ProcessFailureError` if the CA does not respond, or if another server may have responded
   */
  prepare(signal: AbortSignal): Promise<void>
  /**
   * The CA's clock minus this machine's, in milliseconds, from the `Date` header of its last response and the time that
   * has passed since. `undefined` if it is unknown.
   */
  readonly clockOffsetMs: number | undefined
  /**
   * Places an order and resolves with the certificate chain in PEM.
   * @throws {IssuanceError} if the CA does not issue the certificate
   * @throws the signal's reason, or an error of a solver, of `run` or of the account key's store
   */
  issue(request: CertificateRequest, run: Run): Promise<string>
  /**
   * Resolves with the CA's renewal information for a certificate (RFC 9773).
   * @param certificate PEM, leaf first
   * @throws {IssuanceError} if the CA answers with an error, or not within 60 s
   */
  renewalInfo(certificate: Uint8Array): Promise<RenewalInfo>
  /** Closes the connections to the CA. */
  close(): void
}
