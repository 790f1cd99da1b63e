import type { KeyObject } from 'node:crypto'
import type { Authorization, Client, Order } from 'acme-client'
import type { Clock } from '../util/clock.js'
import { abortable, linkAbort, sharedController, sleep, withDeadline } from '../util/deadline.js'
import { ClosedError, IssuanceError } from '../util/errors.js'
import { type ChallengeAnswer, type ChallengeType, isToken } from './challenges.js'
import { AcmeHttp, type PollHint, toProblem } from './http.js'
import type { AcmeSettings } from './options.js'
import { certificateId, fetchRenewalInfo, type RenewalInfo } from './renewal-info.js'
import { retryTransient } from './retry-transient.js'
import { createTlsAlpnCertificate } from './tls-alpn-certificate.js'

/** An order, and the callbacks through which it reaches the rest of the library. */
export interface OrderContext {
  readonly host: string
  /** The private key of the certificate, new for each order. */
  readonly key: KeyObject
  /** The certificate that the order replaces (RFC 9773 section 5): PEM, leaf first. */
  readonly predecessor: Uint8Array | undefined
  /** The challenge types that can be answered, in order of preference. */
  readonly challengeTypes: readonly ChallengeType[]
  /** Resolves once every machine can give the answer. */
  publish(answer: ChallengeAnswer): Promise<void>
  /** Removes the answer. Never rejects. */
  withdraw(answer: ChallengeAnswer): Promise<void>
  /** Cancels the order. */
  readonly signal: AbortSignal
  /** Called before each step with an effect outside this process. Throws if the order is cancelled. */
  proceed(): void
  /** Called before the order is finalized. Throws if the order is cancelled; afterwards it is carried to its end. */
  commit(): void
}

/** Time limit for finding or registering the account, which takes a few requests. */
const registrationTimeoutMs = 60_000
/** Time limit for renewal information: directory and answer. */
const renewalInfoTimeoutMs = 60_000
/** Delay before the first poll of a status. It doubles with each poll, up to the maximum. */
const firstPollDelayMs = 50
const maxPollDelayMs = 5_000
/** Bound for a `Retry-After` while polling: beyond the time limit of an order, and within the range of a timer. */
const maxRetryAfterMs = 3_600_000

/**
 * An account at a CA (RFC 8555): places orders and reads renewal information. acme-client takes 125 ms and 26 MB to
 * load, so it is loaded at the first order.
 */
export class AcmeAccount {
  readonly #http: AcmeHttp
  readonly #closing = sharedController()
  #account: Promise<{ key: string; url: string }> | undefined

  private readonly settings: AcmeSettings
  private readonly accountKey: (signal: AbortSignal) => Promise<string>
  private readonly clock: Clock

  constructor(settings: AcmeSettings, accountKey: (signal: AbortSignal) => Promise<string>, clock: Clock) {
    this.settings = settings
    this.accountKey = accountKey
    this.clock = clock
    this.#http = new AcmeHttp(settings.directoryUrl, clock, settings.ca)
  }

  /**
   * Places an order and resolves with the certificate chain in PEM.
   * @throws {IssuanceError} if the CA does not issue the certificate
   * @throws the signal's reason, or an error of `publish`, `proceed`, `commit` or the account key's store
   */
  async order(context: OrderContext): Promise<string> {
    try {
      return await this.#order(context)
    } catch (error) {
      // The CA has lost the account: the next order registers the key again.
      const type = error instanceof IssuanceError ? error.problem?.type : undefined
      if (type === 'urn:ietf:params:acme:error:accountDoesNotExist') this.#account = undefined
      throw error
    }
  }

  close(): void {
    this.#closing.abort(new ClosedError('the manager was closed'))
    this.#http.close()
  }

  async #order(context: OrderContext): Promise<string> {
    const { host, key, signal, proceed, commit } = context
    const { client, hint } = await this.#openClient(signal)
    proceed()
    const order = await this.#newOrder(client, context)
    const [authorization] = await client.getAuthorizations(order)
    if (!authorization) throw badOffer(host, 'an order without authorization')
    if (authorization.status !== 'valid') await this.#authorize(client, hint, order, authorization, context)
    const { crypto } = await import('acme-client')
    const [, csr] = await crypto.createCsr({ altNames: [host] }, pkcs8(key))
    const readOrder = () => client.getOrder(order)
    const ready = await this.#poll(hint, signal, await readOrder(), readOrder, ['pending'])
    if (ready.status !== 'ready') throw refusal(host, ready.error, `the order is ${ready.status}`)
    commit()
    const finalized = await this.#retryTransient(signal, async (isFirst) => {
      // A finalize request without a response may have succeeded.
      const current = isFirst ? ready : assertOrder(host, await readOrder())
      return current.status === 'ready'
        ? assertOrder(host, await client.finalizeOrder(current, csr))
        : current
    })
    const rereadOrder = () => this.#retryTransient(signal, async () => assertOrder(host, await readOrder()))
    const valid = await this.#poll(hint, signal, finalized, rereadOrder, ['processing', 'ready'])
    if (valid.status !== 'valid') throw refusal(host, valid.error, `the order is ${valid.status}`)
    return this.#retryTransient(signal, async () => {
      const chain: unknown = await client.getCertificate(valid, this.settings.preferredChain)
      if (!/-----BEGIN CERTIFICATE-----/.test(String(chain))) throw badOffer(host, 'no certificate in PEM')
      return chain as string
    })
  }

  /** Retries until the order is cancelled or the account is closed. */
  #retryTransient<T>(signal: AbortSignal, step: (isFirst: boolean) => Promise<T>): Promise<T> {
    const controller = sharedController()
    const unfollow = linkAbort(controller, [signal, this.#closing.signal])
    return retryTransient(step, this.clock, controller.signal).finally(unfollow)
  }

  /** @throws {IssuanceError} `ERR_ACME_PROFILE` if the CA does not have the profile; nothing is ordered then */
  async #newOrder(client: Client, { host, predecessor, signal, proceed }: OrderContext): Promise<Order> {
    const { profile } = this.settings
    const { profiles, renewalInfo } = await this.#http.directory(signal)
    if (profile !== undefined && !profiles.includes(profile)) throw unknownProfile(profile, profiles)
    // acme-client's types lack `profile` and `replaces`, but it sends them.
    const order = { identifiers: [{ type: 'dns' as const, value: host }], ...(profile && { profile }) }
    const replaces = renewalInfo && predecessor && (await certificateId(predecessor))
    if (!replaces) return client.createOrder(order)
    try {
      return await client.createOrder({ ...order, replaces } as typeof order)
    } catch (thrown) {
      // The CA may object to `replaces`, for example because the predecessor is unknown. The error type varies.
      if (!mayConcernReplaces(thrown)) throw thrown
      proceed()
      return client.createOrder(order)
    }
  }

  /**
   * Resolves with the URL of the CA's account for the stored key (RFC 8555 section 7.3.1). Does not register one.
   * @throws {IssuanceError} with the problem `accountDoesNotExist`, or `unauthorized` for a deactivated account
   */
  async find(signal: AbortSignal): Promise<string> {
    const { client } = await this.#createClient(signal, await this.accountKey(signal))
    client.updateAccount = async () => ({ status: 'valid', orders: '' })
    await client.createAccount({ onlyReturnExisting: true })
    return client.getAccountUrl()
  }

  /**
   * Resolves with the CA's renewal information for a certificate (RFC 9773).
   * @param certificate PEM, leaf first
   * @throws {IssuanceError} if the CA answers with an error, or not within 60 s
   */
  async renewalInfo(certificate: Uint8Array): Promise<RenewalInfo> {
    const read = (signal: AbortSignal) => fetchRenewalInfo(this.#http, certificate, this.clock.now(), signal)
    const error = () => new IssuanceError('ERR_ISSUANCE_FAILED', 'the CA gave no renewal information in time')
    const bound = { ms: renewalInfoTimeoutMs, clock: this.clock, error, signal: this.#closing.signal }
    return withDeadline(read, bound)
  }

  /** Creates a client for one order, with the order's signal. All clients share the account and the connections. */
  async #openClient(signal: AbortSignal): Promise<{ client: Client; hint: PollHint }> {
    this.#account ??= this.#startRegistration()
    const { key, url } = await abortable(this.#account, signal)
    return this.#createClient(signal, key, url)
  }

  /** Takes no signal of an order: concurrent orders share the registration. */
  #startRegistration() {
    const error = () =>
      new IssuanceError('ERR_ISSUANCE_FAILED', 'the CA took too long to register the account')
    const registration = withDeadline((signal) => this.#register(signal), {
      ms: registrationTimeoutMs,
      clock: this.clock,
      error,
      signal: this.#closing.signal,
    })
    registration.catch(() => {
      // The next order retries.
      if (this.#account === registration) this.#account = undefined
    })
    return registration
  }

  async #createClient(signal: AbortSignal, accountKey: string, accountUrl?: string) {
    const acme = await import('acme-client')
    const { directoryUrl, externalAccountBinding } = this.settings
    const client = new acme.Client({
      directoryUrl,
      accountKey,
      ...(accountUrl === undefined ? {} : { accountUrl }),
      ...(externalAccountBinding === undefined ? {} : { externalAccountBinding }),
    })
    return { client, hint: this.#http.install(client, signal) }
  }

  /** Finds the account of the stored key, or registers it: one request does both (RFC 8555 section 7.3). */
  async #register(signal: AbortSignal): Promise<{ key: string; url: string }> {
    const key = await this.accountKey(signal)
    const { client } = await this.#createClient(signal, key)
    const { email } = this.settings
    // acme-client updates an account that exists, which some CAs refuse if there is nothing to update.
    if (email === undefined) client.updateAccount = async () => ({ status: 'valid', orders: '' })
    await client.createAccount({
      termsOfServiceAgreed: true,
      ...(email === undefined ? {} : { contact: [`mailto:${email}`] }),
    })
    return { key, url: client.getAccountUrl() }
  }

  async #authorize(
    client: Client,
    hint: PollHint,
    order: Order,
    authorization: Authorization,
    { host, challengeTypes, publish, withdraw, signal, proceed }: OrderContext,
  ): Promise<void> {
    const challenge = challengeTypes
      .map((type) => authorization.challenges.find((offered) => offered.type === type))
      .find((offered) => offered !== undefined)
    if (!challenge) {
      const offered = authorization.challenges.map(({ type }) => type).join(', ')
      const answerable = challengeTypes.join(', ')
      throw badOffer(host, `only the challenges ${offered}; here ${answerable} can be answered`)
    }
    if (!isToken(challenge.token)) throw badOffer(host, 'a token that is not base64url')
    const type = challenge.type as ChallengeType
    const keyAuthorization = await client.getChallengeKeyAuthorization(challenge)
    const value =
      type === 'http-01'
        ? Buffer.from(keyAuthorization)
        : await createTlsAlpnCertificate(host, keyAuthorization, this.clock.now())
    const answer: ChallengeAnswer = { type, host, token: challenge.token, value }
    try {
      await publish(answer)
      proceed()
      await client.completeChallenge(challenge)
      const read = async () => (await client.getAuthorizations(order))[0] ?? authorization
      const { status, challenges } = await this.#poll(hint, signal, authorization, read, ['pending'])
      if (status !== 'valid') {
        const failed = challenges.find(({ error }) => error !== undefined)
        throw refusal(host, failed?.error, `the ${challenge.type} authorization is ${status}`)
      }
    } finally {
      await withdraw(answer)
    }
  }

  /** Polls while the status is one of `unfinished`, with a growing delay, and never before the CA's `Retry-After`. */
  async #poll<T extends { status: string }>(
    hint: PollHint,
    signal: AbortSignal,
    first: T,
    read: () => Promise<T>,
    unfinished: readonly string[],
  ): Promise<T> {
    let current = first
    for (let delayMs = firstPollDelayMs; unfinished.includes(current.status); delayMs *= 2) {
      const retryAfterMs = Math.min((hint.retryAfter ?? 0) - this.clock.now(), maxRetryAfterMs)
      await sleep(Math.max(Math.min(delayMs, maxPollDelayMs), retryAfterMs), this.clock, signal)
      current = await read()
    }
    return current
  }
}

/** The format of signing keys that acme-client accepts. */
const pkcs8 = (key: KeyObject) => key.export({ format: 'pem', type: 'pkcs8' }) as string

/** Whether the CA may have rejected newOrder because of `replaces`, and not for a reason that would persist without. */
const mayConcernReplaces = (thrown: unknown) =>
  thrown instanceof IssuanceError &&
  (thrown.problem?.status ?? 500) < 500 &&
  !/:(rateLimited|accountDoesNotExist)$/.test(thrown.problem?.type ?? '')

const unknownProfile = (profile: string, profiles: readonly string[]) =>
  new IssuanceError(
    'ERR_ACME_PROFILE',
    `acme.profile: the CA has no profile ${profile}; ${profiles.length > 0 ? `it has ${profiles.join(', ')}` : 'it has none: leave the option out'}`,
  )

/** Throws if a response is not an order, such as a maintenance page. */
function assertOrder(host: string, response: Order): Order {
  if (typeof Object(response).status === 'string') return response
  throw badOffer(host, 'something that is no order')
}

const badOffer = (host: string, offer: string) =>
  new IssuanceError('ERR_ISSUANCE_FAILED', `the CA offered ${offer}, for ${host}`)

function refusal(host: string, error: unknown, reason: string): IssuanceError {
  const problem = toProblem(error)
  const details = problem ? `: ${problem.type}: ${problem.detail ?? 'no detail'}` : ''
  return new IssuanceError('ERR_ISSUANCE_FAILED', `the CA refused ${host}: ${reason}${details}`, { problem })
}
