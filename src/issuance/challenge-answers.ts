import { createSecureContext, type SecureContext } from 'node:tls'
import type { ChallengeAnswer, ChallengeType } from '../acme/challenges.js'
import type { CertCache } from '../cache/cert-cache.js'
import { decodeBundle } from '../certificates/certificate-bundle.js'
import type { StorageLayout } from '../certificates/storage-layout.js'
import type { Clock } from '../util/clock.js'
import { callSafely } from '../util/safe-call.js'
import { RateLimitedChallengeReader } from './challenge-rate-limit.js'

/** A challenge that this process has answered. */
export interface AnsweredChallenge {
  readonly type: ChallengeType
  readonly host: string
  /** `memory`: the order is in progress in this process; `store`: possibly in another. */
  readonly from: 'memory' | 'store'
}

/**
 * Publishes and looks up the answers to challenges. They are in the store, because the CA may connect to any machine of
 * the fleet, and for the duration of an order in the memory of the process that placed it.
 */
export class ChallengeAnswers {
  readonly #pending = new Map<string, Uint8Array>()
  readonly #reader: RateLimitedChallengeReader

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
    this.#reader = new RateLimitedChallengeReader(store, clock)
  }

  /** Makes an answer available to all machines. Await it before you ask the CA to validate the challenge. */
  async publish(answer: ChallengeAnswer, signal: AbortSignal): Promise<void> {
    const key = this.#key(answer)
    this.#pending.set(key, answer.value)
    await this.store.put(key, answer.value, { signal })
  }

  /**
   * Removes an answer once the order has succeeded or failed. Takes no signal: a cancelled order also cleans up.
   * @param mayBeReplaced another machine may have placed an order for the host. A tls-alpn-01 answer is then left in
   *   the store, because its key has the host's name; an http-01 key has the token, which belongs to one order.
   */
  async withdraw(answer: ChallengeAnswer, { mayBeReplaced }: { mayBeReplaced: boolean }): Promise<void> {
    const key = this.#key(answer)
    this.#pending.delete(key)
    if (answer.type === 'http-01' || !mayBeReplaced) await this.store.delete(key)
  }

  /** Returns the http-01 answer of an order in this process. */
  pendingHttp01(token: string, host: string): Uint8Array | undefined {
    const value = this.#pending.get(this.layout.http01(token))
    if (value) this.#report({ type: 'http-01', host, from: 'memory' })
    return value
  }

  /**
   * Resolves with the http-01 answer of any machine's order. Throws as `RateLimitedChallengeReader.get`.
   * @param client the client's IP address
   */
  async storedHttp01(token: string, host: string, client: string): Promise<Uint8Array | undefined> {
    const value = await this.#reader.get(this.layout.http01(token), client)
    if (value) this.#report({ type: 'http-01', host, from: 'store' })
    return value
  }

  /** Returns the tls-alpn-01 answer of an order in this process. */
  pendingTlsAlpn01(host: string): SecureContext | undefined {
    const value = this.#pending.get(this.layout.tlsAlpn01(host))
    return value && this.#createContext(value, host, 'memory')
  }

  /**
   * Resolves with the tls-alpn-01 answer of any machine's order. Throws as `RateLimitedChallengeReader.get`.
   * @param client the client's IP address
   */
  async storedTlsAlpn01(host: string, client: string): Promise<SecureContext | undefined> {
    const value = await this.#reader.get(this.layout.tlsAlpn01(host), client)
    return value && this.#createContext(value, host, 'store')
  }

  #key(answer: ChallengeAnswer): string {
    return answer.type === 'http-01' ? this.layout.http01(answer.token) : this.layout.tlsAlpn01(answer.host)
  }

  #createContext(value: Uint8Array, host: string, from: 'memory' | 'store'): SecureContext | undefined {
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
