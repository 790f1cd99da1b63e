import { createSecureContext, type SecureContext } from 'node:tls'
import type { ChallengeAnswer, ChallengeType } from '../acme/challenges.js'
import type { CertCache } from '../cache/cert-cache.js'
import { decodeBundle } from '../certificates/certificate-bundle.js'
import type { StorageLayout } from '../certificates/storage-layout.js'
import type { Clock } from '../util/clock.js'
import { callSafely } from '../util/safe-call.js'
import { RateLimitedChallengeReads } from './challenge-rate-limit.js'

/** Who asked and where the answer was found. */
export interface AnsweredChallenge {
  readonly type: ChallengeType
  readonly host: string
  readonly from: 'memory' | 'store'
}

/**
 * The answers to challenges: in the store, so that whichever machine the CA reaches can give them, and in memory
 * as long as this process waits for the CA.
 */
export class ChallengeAnswers {
  readonly #pending = new Map<string, Uint8Array>()
  readonly #reads: RateLimitedChallengeReads

  private readonly store: CertCache
  private readonly layout: StorageLayout
  private readonly onAnswer: (answered: AnsweredChallenge) => void

  constructor(
    store: CertCache,
    layout: StorageLayout,
    clock: Clock,
    onAnswer: (answered: AnsweredChallenge) => void,
  ) {
    this.store = store
    this.layout = layout
    this.onAnswer = onAnswer
    this.#reads = new RateLimitedChallengeReads(store, clock)
  }

  /** To be awaited before the CA is told to look. */
  async publish(answer: ChallengeAnswer, signal: AbortSignal): Promise<void> {
    const key = this.#key(answer)
    this.#pending.set(key, answer.value)
    await this.store.put(key, answer.value, { signal })
  }

  /**
   * Whatever became of the order. Under no signal: an order given up must not leave its answer behind.
   * @param mayBeReplaced somebody else may be at work on the host by now. Only tokens are one order's alone.
   */
  async withdraw(answer: ChallengeAnswer, { mayBeReplaced }: { mayBeReplaced: boolean }): Promise<void> {
    const key = this.#key(answer)
    this.#pending.delete(key)
    if (answer.type === 'http-01' || !mayBeReplaced) await this.store.delete(key)
  }

  /** The http-01 answer that this process itself waits for. */
  pendingHttp01(token: string, host: string): Uint8Array | undefined {
    const value = this.#pending.get(this.layout.http01(token))
    if (value) this.#report({ type: 'http-01', host, from: 'memory' })
    return value
  }

  /** Any machine's answer; `client` is the address of whoever asks. Rejects as {@link RateLimitedChallengeReads.get} does. */
  async http01(token: string, host: string, client: string): Promise<Uint8Array | undefined> {
    const value = await this.#reads.get(this.layout.http01(token), client)
    if (value) this.#report({ type: 'http-01', host, from: 'store' })
    return value
  }

  /** The tls-alpn-01 answer that this process itself waits for. */
  pendingTlsAlpn01(host: string): SecureContext | undefined {
    const value = this.#pending.get(this.layout.tlsAlpn01(host))
    return value && this.#context(value, host, 'memory')
  }

  /** The same for tls-alpn-01. */
  async tlsAlpn01(host: string, client: string): Promise<SecureContext | undefined> {
    const value = await this.#reads.get(this.layout.tlsAlpn01(host), client)
    return value && this.#context(value, host, 'store')
  }

  #key(answer: ChallengeAnswer): string {
    return answer.type === 'http-01' ? this.layout.http01(answer.token) : this.layout.tlsAlpn01(answer.host)
  }

  #context(value: Uint8Array, host: string, from: 'memory' | 'store'): SecureContext | undefined {
    const bundle = decodeBundle(value)
    if ('fault' in bundle) return undefined
    const context = createSecureContext({ key: bundle.key, cert: bundle.chain })
    this.#report({ type: 'tls-alpn-01', host, from })
    return context
  }

  #report(answered: AnsweredChallenge): void {
    callSafely(() => this.onAnswer(answered))
  }
}
