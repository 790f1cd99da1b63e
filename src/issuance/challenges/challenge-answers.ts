import { createSecureContext, type SecureContext } from 'node:tls'
import type { ChallengeType } from '../../acme/challenges.js'
import { decodeBundle } from '../../certificates/certificate-bundle.js'
import { type CertName, certName } from '../../certificates/certificate-id.js'
import type { Host } from '../../certificates/hostname.js'
import { entryKey } from '../../certificates/storage-layout.js'
import type { Clock } from '../../util/clock.js'
import { callSafely, ignoreFailure } from '../../util/safe-call.js'
import type { AnswerEntry, CaStore } from '../store/ca-store.js'
import { ChallengeRateLimit } from './challenge-rate-limit.js'

/** A challenge that this process has answered. */
export interface AnsweredChallenge {
  readonly type: ChallengeType
  readonly host: string
  /** `memory`: the order is in progress in this process; `store`: possibly in another. */
  readonly from: 'memory' | 'store'
}

/** The answer to a challenge. */
interface ChallengeAnswer {
  readonly type: ChallengeType
  readonly name: CertName
  readonly token: string
  /** http-01: the key authorization. tls-alpn-01: private key and certificate in PEM. */
  readonly value: Uint8Array
}

interface ChallengeAnswersParts {
  readonly store: CaStore
  readonly clock: Clock
  /**
   * Rejects if the host may not have a certificate.
   * @param client the IP address of the client that requests the answer
   */
  readonly checkHost: (host: Host, client: string | undefined) => Promise<void>
  readonly onAnswer: (answered: AnsweredChallenge) => void
}

/** An answer of an order in this process. */
interface PendingAnswer {
  /** The host that the order is for. */
  readonly host: string
  readonly value: Uint8Array
  /** For tls-alpn-01. */
  readonly context: SecureContext | undefined
}

/**
 * Publishes and looks up the answers to challenges. They are in the store, because the CA may connect to any machine of
 * the fleet, and for the duration of an order in the memory of the process that placed it.
 */
export class ChallengeAnswers {
  readonly #pending = new Map<string, PendingAnswer>()
  readonly #store: CaStore
  readonly #rateLimit: ChallengeRateLimit
  readonly #parts: ChallengeAnswersParts

  constructor(parts: ChallengeAnswersParts) {
    this.#store = parts.store
    this.#parts = parts
    this.#rateLimit = new ChallengeRateLimit(parts.clock)
  }

  /**
   * Makes an answer available to all machines. Await it before you ask the CA to validate the challenge. Rejects if this
   * process cannot give the answer itself, for example for lack of memory.
   */
  async publish(answer: ChallengeAnswer, signal: AbortSignal): Promise<void> {
    const entry = this.#entry(answer)
    const { type, name, value } = answer
    this.#pending.set(entryKey(entry), {
      host: name,
      value,
      context: type === 'http-01' ? undefined : createContext(value),
    })
    await this.#store.writeAnswer(entry, answer.value, { signal })
  }

  /**
   * Removes an answer once the order has succeeded or failed. Takes no signal: a cancelled order also cleans up. Never
   * rejects.
   * @param mayBeReplaced another machine may have placed an order for the host. A tls-alpn-01 answer is then left in
   *   the store, because its key has the host's name; an http-01 key has the token, which belongs to one order.
   */
  async withdraw(answer: ChallengeAnswer, { mayBeReplaced }: { mayBeReplaced: boolean }): Promise<void> {
    const entry = this.#entry(answer)
    this.#pending.delete(entryKey(entry))
    if (answer.type === 'http-01' || !mayBeReplaced)
      await ignoreFailure(this.#store.removeAnswer(entry), 'the store has reported it')
  }

  /** Returns the http-01 answer of an order in this process. */
  pendingHttp01(token: string): Uint8Array | undefined {
    const pending = this.#pending.get(entryKey(this.#http01(token)))
    if (pending) this.#report({ type: 'http-01', host: pending.host, from: 'memory' })
    return pending?.value
  }

  /**
   * Resolves with the http-01 answer of any machine's order.
   * @param client the client's IP address
   * @throws {ChallengeRateLimitError} if a rate is exceeded; the host is not checked then, and the store not read
   * @throws {HostError} if `checkHost` rejects; the store is not read then
   * @throws {StoreError} if the store operation fails
   */
  async storedHttp01(token: string, host: Host, client: string | undefined): Promise<Uint8Array | undefined> {
    const value = await this.#read(this.#http01(token), host, client)
    if (value) this.#report({ type: 'http-01', host, from: 'store' })
    return value
  }

  /** Returns the tls-alpn-01 answer of an order in this process. */
  pendingTlsAlpn01(host: Host): SecureContext | undefined {
    const context = this.#pending.get(entryKey(this.#tlsAlpn01(certName(host))))?.context
    if (context) this.#report({ type: 'tls-alpn-01', host, from: 'memory' })
    return context
  }

  /** Resolves with the tls-alpn-01 answer of any machine's order. As {@link storedHttp01}. */
  async storedTlsAlpn01(host: Host, client: string | undefined): Promise<SecureContext | undefined> {
    const value = await this.#read(this.#tlsAlpn01(certName(host)), host, client)
    const context = value && createContext(value)
    if (context) this.#report({ type: 'tls-alpn-01', host, from: 'store' })
    return context
  }

  /** The rate comes first: the policy, which anyone can have called by a made-up host and token, may query a database. */
  #read(entry: AnswerEntry, host: Host, client: string | undefined): Promise<Uint8Array | undefined> {
    return this.#rateLimit.share(`${entryKey(entry)} ${host}`, client ?? '', async () => {
      await this.#parts.checkHost(host, client)
      return this.#store.readAnswer(entry)
    })
  }

  #http01 = (token: string): AnswerEntry => ({ kind: 'http-01', ca: this.#store.ca, token })

  #tlsAlpn01 = (name: CertName): AnswerEntry => ({ kind: 'tls-alpn-01', ca: this.#store.ca, name })

  #entry({ type, token, name }: ChallengeAnswer): AnswerEntry {
    return type === 'http-01' ? this.#http01(token) : this.#tlsAlpn01(name)
  }

  #report(answered: AnsweredChallenge): void {
    callSafely(() => this.#parts.onAnswer(answered))
  }
}

/** Returns the context of a tls-alpn-01 answer; `undefined` if the stored value is invalid. */
function createContext(value: Uint8Array): SecureContext | undefined {
  const bundle = decodeBundle(value)
  return 'fault' in bundle ? undefined : createSecureContext({ key: bundle.key, cert: bundle.chain })
}
