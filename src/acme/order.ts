import { isToken } from '../certificates/storage-layout.js'
import type { Clock } from '../util/clock.js'
import { withDeadline } from '../util/deadline.js'
import { DeadlineError, IssuanceError, NoCommonChallengeError } from '../util/errors.js'
import { ignoreFailure } from '../util/safe-call.js'
import { type Authorization, type Client, loadAcmeClient, type Order } from './dependencies.js'
import type { AcmeHttp, ClientState } from './http/acme-http.js'
import { hasType, InvalidResponseError } from './http/problem.js'
import { type RetryPolicy, retryPolicies, retryTransient } from './http/retry-transient.js'
import type { CertificateRequest, Run, Solver } from './issuer.js'
import type { AcmeSettings } from './options.js'
import { poll } from './poll.js'
import { invalidResponse, refusal, toAccountRefusal, toInvalidResponse } from './refusals.js'
import { certificateId } from './renewal-info.js'

/** The upper bound of an order's time limit, and how long before it the last read of a poll is: see {@link poll}. */
const maxOrderMs = 15 * 60_000
const lastReadMs = 30_000
/** Time limit for deactivating an authorization. */
const deactivationMs = 3_000

interface OrderParts {
  readonly http: AcmeHttp
  readonly settings: AcmeSettings
  readonly clock: Clock
  /** Aborts when the order is cancelled or the account is closed. */
  readonly signal: AbortSignal
  readonly run: Run
  /** Creates a client of the account, whose requests end with the signal. */
  readonly createClient: (
    signal: AbortSignal,
    maxBadNonces?: number,
  ) => Promise<{ client: Client; state: ClientState }>
}

/** One order of a certificate (RFC 8555 section 7.4). */
export class AcmeOrder {
  readonly #parts: OrderParts
  readonly #request: CertificateRequest
  readonly #client: Client
  readonly #state: ClientState
  readonly #lastReadAt: number
  #isCommitted = false
  /** The authorization that a failed order would leave pending. */
  #pendingAuthorization: string | undefined

  static async create(request: CertificateRequest, parts: OrderParts): Promise<AcmeOrder> {
    const { client, state } = await parts.createClient(parts.signal)
    return new AcmeOrder(request, parts, client, state)
  }

  private constructor(request: CertificateRequest, parts: OrderParts, client: Client, state: ClientState) {
    this.#parts = parts
    this.#request = request
    this.#client = client
    this.#state = state
    this.#lastReadAt = parts.clock.now() + maxOrderMs - lastReadMs
  }

  /** Places the order, and resolves with the certificate chain in PEM. */
  async place(): Promise<string> {
    this.#parts.run.proceed()
    const order = await this.#newOrder()
    this.#pendingAuthorization = order.authorizations?.[0]
    try {
      await this.#authorize(order)
      return await this.#finalize(order)
    } catch (thrown) {
      await this.#deactivateAuthorization()
      throw thrown
    }
  }

  /** @throws {IssuanceError} `ERR_ACME_PROFILE` if the CA does not have the profile; nothing is ordered then */
  async #newOrder(): Promise<Order> {
    const { http, settings, signal, run } = this.#parts
    const { name, predecessor } = this.#request
    const { profile } = settings
    const readDirectory = () => http.directory(signal)
    const { profiles, renewalInfo } = await this.#step(readDirectory, retryPolicies.register)
    if (profile !== undefined && !profiles.includes(profile)) {
      const advice =
        profiles.length > 0 ? `Use one of ${profiles.join(', ')}.` : 'It has none: remove the option.'
      const message = `acme.profile: the CA does not offer the profile "${profile}". ${advice}`
      throw new IssuanceError('ERR_ACME_PROFILE', message)
    }
    // acme-client's types lack `profile` and `replaces`, but it sends them.
    const order = { identifiers: [{ type: 'dns' as const, value: name }], ...(profile && { profile }) }
    const create = (fields: typeof order) =>
      this.#step(() => this.#client.createOrder({ ...fields }), retryPolicies.create)
    const replaces = renewalInfo && predecessor && (await certificateId(predecessor))
    try {
      if (!replaces) return await create(order)
      try {
        return await create({ ...order, replaces } as typeof order)
      } catch (thrown) {
        // The CA may object to `replaces`, for example because the predecessor is unknown. The error type varies.
        if (!mayConcernReplaces(thrown)) throw thrown
        run.proceed()
        return await create(order)
      }
    } catch (thrown) {
      throw toAccountRefusal(thrown)
    }
  }

  async #authorize(order: Order): Promise<void> {
    const { run } = this.#parts
    const { name, solvers } = this.#request
    const read = () =>
      this.#step(async () => {
        const [authorization] = await this.#client.getAuthorizations(order)
        if (!Array.isArray(authorization?.challenges))
          throw invalidResponse(name, 'the order has no authorization')
        if (authorization.status !== 'pending') this.#pendingAuthorization = undefined
        return authorization
      }, retryPolicies.read)
    const authorization = await read()
    if (authorization.status === 'valid') return
    const offered = ({ type }: Solver) => challengeOf(authorization, type)
    const solver = solvers.find(offered)
    const challenge = solver && offered(solver)
    if (!challenge) {
      const types = authorization.challenges.map(({ type }) => type).join(', ')
      const answerable = solvers.map(({ type }) => type).join(', ')
      throw new NoCommonChallengeError(
        `the order for "${name}" failed: the CA offers the challenges ${types}, and this process can answer ${answerable}`,
      )
    }
    const { token, type } = challenge
    if (!isToken(token)) throw invalidResponse(name, 'the challenge token is not base64url')
    const keyAuthorization = await this.#client.getChallengeKeyAuthorization(challenge)
    const withdraw = await solver.present({ name, token, keyAuthorization }, run)
    try {
      run.proceed()
      await this.#step(() => this.#client.completeChallenge(challenge), retryPolicies.respond).catch(
        (thrown: unknown) => {
          // The body is not needed: the authorization shows the outcome.
          if (!(thrown instanceof InvalidResponseError)) throw thrown
        },
      )
      // smallstep leaves an authorization pending although its challenge is invalid (RFC 8555 section 7.1.6).
      const isFinished = (current: Authorization) =>
        current.status !== 'pending' || challengeOf(current, type)?.status === 'invalid'
      const { status, challenges } = await this.#poll(authorization, read, isFinished)
      if (status === 'valid') return
      const failed = challenges.find(({ error }) => error !== undefined)
      throw refusal(name, failed?.error, `the ${type} authorization is ${status}`)
    } finally {
      await withdraw()
    }
  }

  async #finalize(order: Order): Promise<string> {
    const { run, settings } = this.#parts
    const { name, key } = this.#request
    const client = this.#client
    const { crypto } = await loadAcmeClient()
    const privateKey = key.export({ format: 'pem', type: 'pkcs8' }) as string
    const [, csr] = await crypto.createCsr({ altNames: [name] }, privateKey)
    const readOrder = async () => assertOrder(name, await client.getOrder(order))
    const readBefore = () => this.#step(readOrder, retryPolicies.read)
    const isReady = ({ status }: Order) => status !== 'pending'
    const ready = await this.#poll(await readBefore(), readBefore, isReady)
    if (ready.status !== 'ready') throw refusal(name, ready.error, `the order is ${ready.status}`)
    run.commit()
    this.#isCommitted = true
    const finalized = await this.#step(async (isFirst) => {
      // A finalize request without a response may have succeeded.
      const current = isFirst ? ready : await readOrder()
      if (current.status === 'pending') throw invalidResponse(name, 'the order is pending after it was ready')
      return current.status === 'ready'
        ? assertOrder(name, await client.finalizeOrder(current, csr))
        : current
    }, retryPolicies.finalized)
    const readAfter = () => this.#step(readOrder, retryPolicies.finalized)
    const isDone = ({ status }: Order) => status === 'valid' || status === 'invalid'
    const valid = await this.#poll(finalized, readAfter, isDone)
    if (valid.status !== 'valid') throw refusal(name, valid.error, `the order is ${valid.status}`)
    return this.#step(async (isFirst) => {
      // A replica may have sent the order without the URL of its certificate.
      const current = isFirst || valid.certificate ? valid : await readOrder()
      const chain: unknown = await client.getCertificate(current, settings.preferredChain)
      if (!/-----BEGIN CERTIFICATE-----/.test(String(chain)))
        throw invalidResponse(name, 'the certificate is not in PEM')
      return chain as string
    }, retryPolicies.finalized)
  }

  /** Runs a step, and repeats it as the policy allows, until the order is cancelled or the account is closed. */
  #step<T>(step: (isFirst: boolean) => Promise<T>, policy: RetryPolicy): Promise<T> {
    const { clock, signal, run } = this.#parts
    const beforeRetry = () => {
      if (!this.#isCommitted) run.proceed()
    }
    const attempt = async (isFirst: boolean) => {
      try {
        return await step(isFirst)
      } catch (thrown) {
        signal.throwIfAborted()
        throw toInvalidResponse(thrown)
      }
    }
    return retryTransient(attempt, { policy, clock, signal, beforeRetry })
  }

  #poll<T>(first: T, read: () => Promise<T>, isFinished: (resource: T) => boolean): Promise<T> {
    const { clock, signal, run } = this.#parts
    return poll(first, read, isFinished, {
      state: this.#state,
      clock,
      signal,
      lastReadAt: this.#lastReadAt,
      extendDeadline: (until) => run.extendDeadline(until),
    })
  }

  /**
   * Deactivates the authorization of a failed order (RFC 8555 section 7.5.2), because a CA limits the pending ones. Does
   * not if the CA hangs, or if no lock is held: the order of another machine may use the same authorization, since
   * Boulder reuses pending ones. Never rejects.
   */
  async #deactivateAuthorization(): Promise<void> {
    const url = this.#pendingAuthorization
    const { clock, run, http, createClient } = this.#parts
    if (url === undefined || !run.isExclusive || this.#state.isUnanswered) return
    const deactivate = async (signal: AbortSignal) => {
      const { client } = await createClient(signal, 1)
      await client.deactivateAuthorization({ url } as Authorization)
    }
    const error = () => new DeadlineError('the CA did not deactivate the authorization in time')
    const limit = { ms: deactivationMs, clock, error, signal: http.closing }
    await ignoreFailure(
      withDeadline(deactivate, limit),
      'the authorization expires, and the order has failed',
    )
  }
}

const challengeOf = ({ challenges }: Authorization, type: string) =>
  challenges.find((challenge) => challenge.type === type)

/** Whether the CA may have rejected newOrder because of `replaces`, and not for a reason that would persist without. */
function mayConcernReplaces(thrown: unknown): boolean {
  const problem = thrown instanceof IssuanceError ? thrown.problem : undefined
  const { status = 500 } = problem ?? {}
  return status < 500 && !hasType(problem, 'rateLimited', 'accountDoesNotExist')
}

/** Throws if a response is not an order, such as a maintenance page. */
function assertOrder(host: string, response: Order): Order {
  if (typeof Object(response).status === 'string') return response
  throw invalidResponse(host, 'the response is not an order')
}
