import type { SecureContext } from 'node:tls'
import type { Host } from '../certificates/hostname.js'
import type { LiveCertificate } from '../certificates/live-certificate.js'
import type { ChallengeAnswers } from '../issuance/challenges/challenge-answers.js'
import type { AnswerSource } from '../server/http-handler.js'
import type { HandshakeSource } from '../server/tls-callbacks.js'
import { withDeadline } from '../util/deadline.js'
import { toError } from '../util/errors.js'
import { verdictOf } from '../util/verdict.js'
import type { CertificateService } from './certificate-service.js'
import type { ManagerContext } from './events.js'
import { occasionOf } from './host-policy.js'

/** Longest wait of a handshake, or of a caller of `getCertificate`. The order continues in the background. */
const timeoutMs = 30_000

interface HandshakesParts extends ManagerContext {
  readonly certificates: CertificateService
  readonly answers: ChallengeAnswers
  /** Returns whether `served`, the most frequent event, has a listener. */
  readonly isServedObserved: () => boolean
}

/** Answers handshakes and challenge requests, each within 30 s, and reports the outcome. */
export class Handshakes implements HandshakeSource, AnswerSource {
  readonly #parts: HandshakesParts

  constructor(parts: HandshakesParts) {
    this.#parts = parts
  }

  fromMemory(host: Host): LiveCertificate | undefined {
    const live = this.#parts.certificates.fromMemory(host)
    const { isServedObserved, report } = this.#parts
    if (live && isServedObserved()) report('served', { host, source: 'memory', durationMs: 0 })
    return live
  }

  async obtain(host: Host, client: string | undefined): Promise<LiveCertificate | undefined> {
    const startedAt = performance.now()
    try {
      const live = await this.certificate(host, client)
      const durationMs = performance.now() - startedAt
      this.#parts.report('served', { host, source: live.source, durationMs })
      return live
    } catch (thrown) {
      this.#reportFailure(host, toError(thrown))
      return undefined
    }
  }

  /**
   * Resolves with the certificate from the store or the CA.
   * @param client the client's IP address
   * @throws {DeadlineError} after 30 s
   */
  certificate(host: Host, client?: string): Promise<LiveCertificate> {
    const { certificates, clock } = this.#parts
    const bound = { ms: timeoutMs, clock, error: `no certificate for "${host}"` }
    return withDeadline(() => certificates.obtain(host, occasionOf('handshake', client)), bound)
  }

  pendingChallenge(host: Host): SecureContext | undefined {
    return this.#parts.answers.pendingTlsAlpn01(host)
  }

  async storedChallenge(host: Host, client: string | undefined): Promise<SecureContext | undefined> {
    try {
      return await this.#readChallenge(host, () => this.#parts.answers.storedTlsAlpn01(host, client))
    } catch {
      return undefined // reported
    }
  }

  pendingAnswer(token: string): Uint8Array | undefined {
    return this.#parts.answers.pendingHttp01(token)
  }

  async storedAnswer(token: string, host: Host, client: string | undefined): Promise<Uint8Array | undefined> {
    try {
      return await this.#readChallenge(host, () => this.#parts.answers.storedHttp01(token, host, client))
    } catch (thrown) {
      const { blame, refusal } = verdictOf(toError(thrown))
      if (blame === 'policy' || refusal === 'name') return undefined
      throw thrown
    }
  }

  onInvalidName(servername: string): void {
    this.#parts.report('refused', { servername, reason: 'name' })
  }

  onMisconfigured(servername: string, error: Error): void {
    this.#parts.report('handshakeFailed', { host: servername, error })
  }

  /** Bounds the wait for a challenge answer. Reports and rethrows errors. */
  async #readChallenge<T>(host: Host, read: () => Promise<T>): Promise<T> {
    const { clock, closing: signal } = this.#parts
    const bound = { ms: timeoutMs, clock, error: `no challenge answer for "${host}"`, signal }
    try {
      return await withDeadline(read, bound)
    } catch (thrown) {
      this.#reportFailure(host, toError(thrown))
      throw thrown
    }
  }

  #reportFailure(host: Host, error: Error): void {
    const { report } = this.#parts
    const { refusal } = verdictOf(error)
    if (refusal) report('refused', { servername: host, reason: refusal })
    else report('handshakeFailed', { host, error })
  }
}
