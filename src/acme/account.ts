import type { Authorization, Client, Order } from 'acme-client'
import { isToken } from '../certificates/storage-layout.js'
import type { Clock } from '../util/clock.js'
import { abortable, linkAbort, sharedController, sleep, withDeadline } from '../util/deadline.js'
import { ClosedError, IssuanceError } from '../util/errors.js'
import { lazy } from '../util/lazy.js'
import { AcmeHttp, type PollHint, toProblem } from './http.js'
import type { CertificateRequest, Issuer, Run, Solver } from './issuer.js'
import type { AcmeSettings } from './options.js'
import { certificateId, fetchRenewalInfo, type RenewalInfo } from './renewal-info.js'
import { retryTransient } from './retry-transient.js'
import { withAdvice } from './transport.js'

/** Time limit for registering the account, and for renewal information: each takes a few requests. */
const timeoutMs = 60_000
/** Bound for a `Retry-After` while polling: beyond the time limit of an order, and within the range of a timer. */
const maxRetryAfterMs = 3_600_000

/**
 * An account at a CA (RFC 8555): places orders and reads renewal information. acme-client takes 125 ms and 26 MB to
 * load, so it is loaded at the first order.
 */
export class AcmeAccount implements Issuer {
  readonly #http: AcmeHttp
  readonly #closing = sharedController()
  readonly #account = lazy(() =>
    // Takes no signal of an order: concurrent orders share the registration. If it fails, the next order retries.
    this.#withTimeout('the CA did not register the account within 60 s', (signal) => this.#register(signal)),
  )
  readonly #settings: AcmeSettings
  readonly #accountKey: (signal: AbortSignal) => Promise<string>
  readonly #clock: Clock

  constructor(settings: AcmeSettings, accountKey: (signal: AbortSignal) => Promise<string>, clock: Clock) {
    this.#settings = settings
    this.#accountKey = accountKey
    this.#clock = clock
    this.#http = new AcmeHttp(settings.directoryUrl, clock, settings.ca)
  }

  async prepare(signal: AbortSignal): Promise<void> {
    await this.#http.directory(signal)
  }

  get clockOffsetMs(): number | undefined {
    return undefined
  }

  async issue(request: CertificateRequest, run: Run): Promise<string> {
    try {
      return await this.#order(request, run)
    } catch (error) {
      // The CA has lost the account: the next order registers the key again.
      const type = error instanceof IssuanceError ? error.problem?.type : undefined
      if (type === 'urn:ietf:params:acme:error:accountDoesNotExist') this.#account.forget()
      throw error
    }
  }

  close(): void {
    this.#closing.abort(new ClosedError('the manager was closed'))
    this.#http.close()
  }

  async #order(request: CertificateRequest, run: Run): Promise<string> {
    const { name, key } = request
    const { signal } = run
    // A client for this order, with its signal. All clients share the account and the connections.
    const account = await abortable(this.#account(), signal)
    const { client, hint } = await this.#createClient(signal, account.key, account.url)
    run.proceed()
    const order = await this.#newOrder(client, request, run)
    const [authorization] = await client.getAuthorizations(order)
    if (!authorization) throw invalidResponse(name, 'the order has no authorization')
    if (authorization.status !== 'valid')
      await this.#authorize(client, hint, order, authorization, request, run)
    const { crypto } = await import('acme-client')
    const privateKey = key.export({ format: 'pem', type: 'pkcs8' }) as string
    const [, csr] = await crypto.createCsr({ altNames: [name] }, privateKey)
    const readOrder = () => client.getOrder(order)
    const ready = await this.#poll(hint, signal, await readOrder(), readOrder, ['pending'])
    if (ready.status !== 'ready') throw refusal(name, ready.error, `the order is ${ready.status}`)
    run.commit()
    const finalized = await this.#retryTransient(signal, async (isFirst) => {
      // A finalize request without a response may have succeeded.
      const current = isFirst ? ready : assertOrder(name, await readOrder())
      return current.status === 'ready'
        ? assertOrder(name, await client.finalizeOrder(current, csr))
        : current
    })
    const rereadOrder = () => this.#retryTransient(signal, async () => assertOrder(name, await readOrder()))
    const valid = await this.#poll(hint, signal, finalized, rereadOrder, ['processing', 'ready'])
    if (valid.status !== 'valid') throw refusal(name, valid.error, `the order is ${valid.status}`)
    return this.#retryTransient(signal, async () => {
      const chain: unknown = await client.getCertificate(valid, this.#settings.preferredChain)
      if (!/-----BEGIN CERTIFICATE-----/.test(String(chain)))
        throw invalidResponse(name, 'the certificate is not in PEM')
      return chain as string
    })
  }

  /** Retries until the order is cancelled or the account is closed. */
  #retryTransient<T>(signal: AbortSignal, step: (isFirst: boolean) => Promise<T>): Promise<T> {
    const controller = sharedController()
    const unfollow = linkAbort(controller, [signal, this.#closing.signal])
    return retryTransient(step, this.#clock, controller.signal).finally(unfollow)
  }

  /** @throws {IssuanceError} `ERR_ACME_PROFILE` if the CA does not have the profile; nothing is ordered then */
  async #newOrder(client: Client, { name, predecessor }: CertificateRequest, run: Run): Promise<Order> {
    const { profile } = this.#settings
    const { profiles, renewalInfo } = await this.#http.directory(run.signal)
    if (profile !== undefined && !profiles.includes(profile)) {
      const advice =
        profiles.length > 0 ? `Use one of ${profiles.join(', ')}.` : 'It has none: remove the option.'
      const message = `acme.profile: the CA does not offer the profile "${profile}". ${advice}`
      throw new IssuanceError('ERR_ACME_PROFILE', message)
    }
    // acme-client's types lack `profile` and `replaces`, but it sends them.
    const order = { identifiers: [{ type: 'dns' as const, value: name }], ...(profile && { profile }) }
    const replaces = renewalInfo && predecessor && (await certificateId(predecessor))
    if (!replaces) return client.createOrder(order)
    try {
      return await client.createOrder({ ...order, replaces } as typeof order)
    } catch (thrown) {
      // The CA may object to `replaces`, for example because the predecessor is unknown. The error type varies.
      if (!mayConcernReplaces(thrown)) throw thrown
      run.proceed()
      return client.createOrder(order)
    }
  }

  /**
   * Resolves with the URL of the CA's account for the stored key (RFC 8555 section 7.3.1). Does not register one.
   * @throws {IssuanceError} with the problem `accountDoesNotExist`, or `unauthorized` for a deactivated account
   */
  async find(signal: AbortSignal): Promise<string> {
    const { client } = await this.#createClient(signal, await this.#accountKey(signal))
    client.updateAccount = skipUpdate
    await client.createAccount({ onlyReturnExisting: true })
    return client.getAccountUrl()
  }

  async renewalInfo(certificate: Uint8Array): Promise<RenewalInfo> {
    return this.#withTimeout('the CA did not return renewal information within 60 s', (signal) =>
      fetchRenewalInfo(this.#http, certificate, this.#clock.now(), signal),
    )
  }

  #withTimeout<T>(message: string, operation: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const error = () => new IssuanceError('ERR_ISSUANCE_FAILED', message)
    return withDeadline(operation, { ms: timeoutMs, clock: this.#clock, error, signal: this.#closing.signal })
  }

  async #createClient(signal: AbortSignal, accountKey: string, accountUrl?: string) {
    const acme = await import('acme-client')
    const { directoryUrl, externalAccountBinding } = this.#settings
    const client = new acme.Client({
      directoryUrl,
      accountKey,
      ...(accountUrl && { accountUrl }),
      ...(externalAccountBinding && { externalAccountBinding }),
    })
    return { client, hint: this.#http.install(client, signal) }
  }

  /** Finds the account of the stored key, or registers it: one request does both (RFC 8555 section 7.3). */
  async #register(signal: AbortSignal): Promise<{ key: string; url: string }> {
    const key = await this.#accountKey(signal)
    const { client } = await this.#createClient(signal, key)
    const { email } = this.#settings
    // acme-client updates an account that exists, which some CAs refuse if there is nothing to update.
    if (email === undefined) client.updateAccount = skipUpdate
    const contact = email === undefined ? {} : { contact: [`mailto:${email}`] }
    await client.createAccount({ termsOfServiceAgreed: true, ...contact })
    return { key, url: client.getAccountUrl() }
  }

  async #authorize(
    client: Client,
    hint: PollHint,
    order: Order,
    authorization: Authorization,
    { name, solvers }: CertificateRequest,
    run: Run,
  ): Promise<void> {
    const offered = ({ type }: Solver) =>
      authorization.challenges.find((challenge) => challenge.type === type)
    const solver = solvers.find(offered)
    const challenge = solver && offered(solver)
    if (!challenge) {
      const types = authorization.challenges.map(({ type }) => type).join(', ')
      const answerable = solvers.map(({ type }) => type).join(', ')
      throw orderError(
        name,
        `the CA offers the challenges ${types}, and this process can answer ${answerable}`,
      )
    }
    const { token } = challenge
    if (!isToken(token)) throw invalidResponse(name, 'the challenge token is not base64url')
    const keyAuthorization = await client.getChallengeKeyAuthorization(challenge)
    const withdraw = await solver.present({ name, token, keyAuthorization }, run)
    try {
      run.proceed()
      await client.completeChallenge(challenge)
      const read = async () => (await client.getAuthorizations(order))[0] ?? authorization
      const { status, challenges } = await this.#poll(hint, run.signal, authorization, read, ['pending'])
      if (status !== 'valid') {
        const failed = challenges.find(({ error }) => error !== undefined)
        throw refusal(name, failed?.error, `the ${challenge.type} authorization is ${status}`)
      }
    } finally {
      await withdraw()
    }
  }

  /**
   * Polls while the status is one of `unfinished`: after 50 ms, then at intervals that double up to 5 s, and never
   * before the CA's `Retry-After`.
   */
  async #poll<T extends { status: string }>(
    hint: PollHint,
    signal: AbortSignal,
    first: T,
    read: () => Promise<T>,
    unfinished: readonly string[],
  ): Promise<T> {
    let current = first
    for (let delayMs = 50; unfinished.includes(current.status); delayMs *= 2) {
      const retryAfterMs = Math.min((hint.retryAfter ?? 0) - this.#clock.now(), maxRetryAfterMs)
      await sleep(Math.max(Math.min(delayMs, 5_000), retryAfterMs), this.#clock, signal)
      current = await read()
    }
    return current
  }
}

const skipUpdate: Client['updateAccount'] = async () => ({ status: 'valid', orders: '' })

/** Whether the CA may have rejected newOrder because of `replaces`, and not for a reason that would persist without. */
function mayConcernReplaces(thrown: unknown): boolean {
  const { type, status = 500 } = (thrown instanceof IssuanceError && thrown.problem) || {}
  return status < 500 && !/:(rateLimited|accountDoesNotExist)$/.test(type ?? '')
}

/** Throws if a response is not an order, such as a maintenance page. */
function assertOrder(host: string, response: Order): Order {
  if (typeof Object(response).status === 'string') return response
  throw invalidResponse(host, 'the response is not an order')
}

const orderError = (host: string, reason: string) =>
  new IssuanceError('ERR_ISSUANCE_FAILED', `the order for "${host}" failed: ${reason}`)

const invalidResponse = (host: string, reason: string) =>
  orderError(host, `invalid response from the CA: ${reason}`)

function refusal(host: string, error: unknown, reason: string): IssuanceError {
  const problem = toProblem(error)
  const details = problem ? `: ${problem.type}: ${problem.detail ?? 'no detail'}` : ''
  const advice = problem ? adviceForProblem(problem.type, host) : ''
  const message = withAdvice(`the CA refused "${host}": ${reason}${details}`, advice)
  return new IssuanceError('ERR_ISSUANCE_FAILED', message, { problem })
}

/** What to do about a CA's problem, by the end of its type: RFC 8555 section 6.7. */
const problemAdvice: Readonly<Record<string, (host: string) => string>> = {
  caa: (host) => `Allow the CA in the CAA records of "${host}".`,
  connection: (host) => `The CA must be able to connect to "${host}" on port 80 or port 443.`,
  dns: (host) => `Check the DNS records of "${host}".`,
  externalAccountRequired: () => 'Set acme.externalAccountBinding to the values that the CA gave you.',
  incorrectResponse: anotherServer,
  rejectedIdentifier: (host) => `This CA does not issue certificates for "${host}".`,
  tls: (host) => `Servers with manager.tlsOptions() must answer on port 443 of "${host}".`,
  unauthorized: anotherServer,
}

function anotherServer(host: string): string {
  return `Check that all A and AAAA records of "${host}" lead to servers that share this store, and that no proxy answers instead.`
}

/** Returns what to do about a problem, or an empty text. */
const adviceForProblem = (type: string, host: string): string =>
  problemAdvice[type.slice(type.lastIndexOf(':') + 1)]?.(host) ?? ''
