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
import { makeTlsAlpnCertificate } from './tls-alpn-certificate.js'

/** What an order needs from the rest of the library. */
export interface OrderContext {
  readonly host: string
  /** The certificate's own key, fresh for each order. */
  readonly key: KeyObject
  /** The certificate that this order is to replace (RFC 9773 section 5): PEM, the leaf before its issuers. */
  readonly replaced: Uint8Array | undefined
  /** Which challenges can be answered, the preferred one first. */
  readonly challengeTypes: readonly ChallengeType[]
  /** Resolves when every machine can give the answer. */
  publish(answer: ChallengeAnswer): Promise<void>
  withdraw(answer: ChallengeAnswer): Promise<void>
  /** Ends the order where it is. */
  readonly signal: AbortSignal
  /** Throws if the order must not go on: asked before each step that others would see. */
  proceed(): void
  /** The same before the last step that can be given up: then there is a certificate, and it is fetched. */
  commit(): void
}

const firstPollMs = 50
/** Finding or making the account: a few requests. */
const registrationMs = 60_000
/** Directory and answer. */
const suggestionMs = 60_000
const longestPollMs = 5_000
/** More than an order has; a timer fires at once for more than it can count. */
const longestWaitMs = 3_600_000

/**
 * An account at a CA (RFC 8555), and orders under it. The only importer of acme-client, which costs 125 ms and
 * 26 MB to load, so it is loaded at the first order.
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

  /** The certificate chain, PEM. Rejects with an {@link IssuanceError}, a store's error, or the signal's reason. */
  async order(context: OrderContext): Promise<string> {
    try {
      return await this.#order(context)
    } catch (error) {
      // Deactivated, or the CA lost it: the next order registers the key again.
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
    if (!authorization) throw unusable(host, 'an order without authorization')
    if (authorization.status !== 'valid') await this.#authorize(client, hint, order, authorization, context)
    const { crypto } = await import('acme-client')
    const [, csr] = await crypto.createCsr({ altNames: [host] }, pkcs8(key))
    const read = () => client.getOrder(order)
    const ready = await this.#poll(hint, signal, await read(), read, ['pending'])
    if (ready.status !== 'ready') throw refused(host, ready.error, `the order is ${ready.status}`)
    commit()
    const finalized = await this.#retryTransient(signal, async (isFirst) => {
      // It may be finalized although no answer came.
      const current = isFirst ? ready : orderOf(host, await read())
      return current.status === 'ready' ? orderOf(host, await client.finalizeOrder(current, csr)) : current
    })
    const readAgain = () => this.#retryTransient(signal, async () => orderOf(host, await read()))
    const valid = await this.#poll(hint, signal, finalized, readAgain, ['processing', 'ready'])
    if (valid.status !== 'valid') throw refused(host, valid.error, `the order is ${valid.status}`)
    return this.#retryTransient(signal, async () => {
      const chain: unknown = await client.getCertificate(valid, this.settings.preferredChain)
      if (!/-----BEGIN CERTIFICATE-----/.test(String(chain))) throw unusable(host, 'no certificate in PEM')
      return chain as string
    })
  }

  /** Until the order's own end, or until the account is closed. */
  #retryTransient<T>(signal: AbortSignal, step: (isFirst: boolean) => Promise<T>): Promise<T> {
    const ended = sharedController()
    const unlink = linkAbort(ended, [signal, this.#closing.signal])
    return retryTransient(step, this.clock, ended.signal).finally(unlink)
  }

  /** @throws {IssuanceError} `ERR_ACME_PROFILE` if the CA has no such profile: before anything is ordered */
  async #newOrder(client: Client, { host, replaced, signal, proceed }: OrderContext): Promise<Order> {
    const { profile } = this.settings
    const { profiles, renewalInfo } = await this.#http.directory(signal)
    if (profile !== undefined && !profiles.includes(profile)) throw unknownProfile(profile, profiles)
    // acme-client's types know neither profile nor replaces; it passes members through.
    const order = { identifiers: [{ type: 'dns' as const, value: host }], ...(profile && { profile }) }
    const replaces = renewalInfo && replaced && (await certificateId(replaced))
    if (!replaces) return client.createOrder(order)
    try {
      return await client.createOrder({ ...order, replaces } as typeof order)
    } catch (thrown) {
      // Replaced already, another account's, one that the CA has forgotten, …: CAs differ in what they call it.
      if (!isObjection(thrown)) throw thrown
      proceed()
      return client.createOrder(order)
    }
  }

  /**
   * The URL of the account that the CA has for the stored key (RFC 8555 section 7.3.1). Makes none.
   * @throws {IssuanceError} `accountDoesNotExist`, or `unauthorized` for an account that was deactivated
   */
  async find(signal: AbortSignal): Promise<string> {
    const { client } = await this.#makeClient(signal, await this.accountKey(signal))
    client.updateAccount = async () => ({ status: 'valid', orders: '' })
    await client.createAccount({ onlyReturnExisting: true })
    return client.getAccountUrl()
  }

  /** When the CA would have a certificate replaced: PEM, the leaf before its issuers. */
  async renewalInfo(certificate: Uint8Array): Promise<RenewalInfo> {
    const ask = (signal: AbortSignal) => fetchRenewalInfo(this.#http, certificate, this.clock.now(), signal)
    const error = () => new IssuanceError('ERR_ISSUANCE_FAILED', 'the CA gave no renewal information in time')
    const bound = { ms: suggestionMs, clock: this.clock, error, signal: this.#closing.signal }
    return withDeadline(ask, bound)
  }

  /** A client of its own for each order, so that each has its own signal; they share account and connections. */
  async #openClient(signal: AbortSignal): Promise<{ client: Client; hint: PollHint }> {
    this.#account ??= this.#startRegistration()
    const { key, url } = await abortable(this.#account, signal)
    return this.#makeClient(signal, key, url)
  }

  /** Shared by the orders that wait for it, so under no order's signal. */
  #startRegistration() {
    const error = () =>
      new IssuanceError('ERR_ISSUANCE_FAILED', 'the CA took too long to register the account')
    const registration = withDeadline((signal) => this.#register(signal), {
      ms: registrationMs,
      clock: this.clock,
      error,
      signal: this.#closing.signal,
    })
    registration.catch(() => {
      // A failure is not kept: the next order tries again.
      if (this.#account === registration) this.#account = undefined
    })
    return registration
  }

  async #makeClient(signal: AbortSignal, accountKey: string, accountUrl?: string) {
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

  /** Finds the account of the stored key, or makes it (RFC 8555 section 7.3: the same request). */
  async #register(signal: AbortSignal): Promise<{ key: string; url: string }> {
    const key = await this.accountKey(signal)
    const { client } = await this.#makeClient(signal, key)
    const { email } = this.settings
    // acme-client updates an account that it finds, which some CAs refuse where there is nothing to update.
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
      throw unusable(
        host,
        `only the challenges ${offered}; here ${challengeTypes.join(', ')} can be answered`,
      )
    }
    if (!isToken(challenge.token)) throw unusable(host, 'a token that is not base64url')
    const type = challenge.type as ChallengeType
    const keyAuthorization = await client.getChallengeKeyAuthorization(challenge)
    const value =
      type === 'http-01'
        ? Buffer.from(keyAuthorization)
        : await makeTlsAlpnCertificate(host, keyAuthorization, this.clock.now())
    const answer: ChallengeAnswer = { type, host, token: challenge.token, value }
    try {
      await publish(answer)
      proceed()
      await client.completeChallenge(challenge)
      const read = async () => (await client.getAuthorizations(order))[0] ?? authorization
      const done = await this.#poll(hint, signal, authorization, read, ['pending'])
      if (done.status !== 'valid') {
        const failed = done.challenges.find(({ error }) => error !== undefined)
        throw refused(host, failed?.error, `the ${challenge.type} authorization is ${done.status}`)
      }
    } finally {
      await withdraw(answer)
    }
  }

  /** Reads until the status is another: soon at first, as slowly as the CA wants after that. */
  async #poll<T extends { status: string }>(
    hint: PollHint,
    signal: AbortSignal,
    first: T,
    read: () => Promise<T>,
    unfinished: readonly string[],
  ): Promise<T> {
    let current = first
    for (let wait = firstPollMs; unfinished.includes(current.status); wait *= 2) {
      const asked = (hint.retryAfter ?? 0) - this.clock.now()
      await sleep(Math.min(Math.max(Math.min(wait, longestPollMs), asked), longestWaitMs), this.clock, signal)
      current = await read()
    }
    return current
  }
}

/** The one form in which acme-client takes a key to sign with. */
const pkcs8 = (key: KeyObject) => key.export({ format: 'pem', type: 'pkcs8' }) as string

const isObjection = (thrown: unknown) =>
  thrown instanceof IssuanceError &&
  (thrown.problem?.status ?? 500) < 500 &&
  !/:(rateLimited|accountDoesNotExist)$/.test(thrown.problem?.type ?? '')

const unknownProfile = (profile: string, profiles: readonly string[]) =>
  new IssuanceError(
    'ERR_ACME_PROFILE',
    `acme.profile: the CA has no profile ${profile}; ${profiles.length > 0 ? `it has ${profiles.join(', ')}` : 'it has none: leave the option out'}`,
  )

/** A page of maintenance is none. */
function orderOf(host: string, answer: Order): Order {
  if (typeof Object(answer).status === 'string') return answer
  throw unusable(host, 'something that is no order')
}

const unusable = (host: string, what: string) =>
  new IssuanceError('ERR_ISSUANCE_FAILED', `the CA offered ${what}, for ${host}`)

function refused(host: string, error: unknown, what: string): IssuanceError {
  const problem = toProblem(error)
  const said = problem ? `: ${problem.type}: ${problem.detail ?? 'no detail'}` : ''
  return new IssuanceError('ERR_ISSUANCE_FAILED', `the CA refused ${host}: ${what}${said}`, { problem })
}
