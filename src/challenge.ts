import { createSecureContext, type SecureContext } from 'node:tls'
import type { CertCache } from './cache.js'
import { decodeBundle } from './certificate.js'
import { ChallengeReads } from './challenge-reads.js'
import type { Clock } from './clock.js'
import { guarded } from './guarded.js'
import type { StoredLayout } from './layout.js'

/** The challenge types this library answers (RFC 8555 section 8.3, RFC 8737). */
export type ChallengeType = 'http-01' | 'tls-alpn-01'

/** The protocol that a CA validating tls-alpn-01 offers, alone (RFC 8737 section 6.2). */
export const acmeTlsProtocol = 'acme-tls/1'

/**
 * Base64url, as RFC 8555 section 8.3 has tokens (22 characters at least, 43 at Let's Encrypt); nothing that could lead
 * to another key of the store, or that is too long a name for one.
 */
const tokenPattern = /^[A-Za-z0-9_-]{1,128}$/

export const isToken = (token: string): boolean => tokenPattern.test(token)

/** What a CA asked for, and the answer it has to find. */
export interface ChallengeAnswer {
  readonly type: ChallengeType
  readonly host: string
  readonly token: string
  /** The key authorization (http-01) or key and certificate in PEM (tls-alpn-01). */
  readonly value: Uint8Array
}

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
  readonly #reads: ChallengeReads

  constructor(
    private readonly store: CertCache,
    private readonly layout: StoredLayout,
    clock: Clock,
    private readonly onAnswer: (answered: AnsweredChallenge) => void,
  ) {
    this.#reads = new ChallengeReads(store, clock)
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

  /** Any machine's answer; `client` is the address of whoever asks. Rejects as {@link ChallengeReads.get} does. */
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
    guarded(() => this.onAnswer(answered))
  }
}
