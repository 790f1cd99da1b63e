import type { Agent } from 'node:http'
import { type Clock, monotonic } from '../../util/clock.js'
import { abortable, linkAbort, sharedController } from '../../util/deadline.js'
import { type AcmeProblem, ClosedError } from '../../util/errors.js'
import { SingleFlight } from '../../util/single-flight.js'
import { createAgent } from './agent.js'
import {
  describeProblem,
  ErrorResponse,
  hasType,
  InvalidResponseError,
  isResponse,
  parseRetryAfter,
  toProblem,
  UnverifiedResponseError,
} from './problem.js'
import { type AcmeResponse, type LocatedResponse, type Method, send } from './transport.js'
import { withAbsoluteHeaders, withAbsoluteUrls } from './urls.js'

/** The undocumented members of an acme-client `Client` that {@link AcmeHttp} replaces. */
interface ClientInternals {
  readonly http: {
    request: (url: string, method: Method, options?: { data?: object }) => Promise<AcmeResponse>
    maxBadNonceRetries: number
  }
}

/** How long the directory is cached. */
const directoryMaxAgeMs = 3_600_000
/** How long {@link AcmeHttp.prepare} relies on a response. */
const responseMaxAgeMs = 10_000
/** Number of nonces cached, the most recent (RFC 8555 section 6.5): the CA is likelier to reject old ones. */
const maxNonces = 4
/** Number of rejected nonces in a row after which a request fails. */
const defaultMaxBadNonces = 10

/** The state of a client's requests. */
export interface ClientState {
  /** The `Retry-After` of the last response, in milliseconds since the epoch. */
  retryAfter?: number | undefined
  /** Whether the last request is without a response. */
  isUnanswered: boolean
}

/** The members of an ACME directory that acme-client ignores. */
export interface Directory {
  /** URL of the renewal information (RFC 9773 section 3). */
  readonly renewalInfo: string | undefined
  /** Names of the profiles that an order may select (draft-ietf-acme-profiles). */
  readonly profiles: readonly string[]
}

export interface AcmeHttpOptions {
  readonly directoryUrl: string
  readonly clock: Clock
  readonly ca?: string | Buffer | undefined
  /** Default: an agent that {@link AcmeHttp.close} destroys. */
  readonly agent?: Agent | undefined
}

/**
 * Sends requests to a CA, in place of acme-client's own HTTP. Converts error responses to an {@link ErrorResponse} with
 * problem and `Retry-After`, and caches the directory and nonces (RFC 8555 section 6.5).
 */
export class AcmeHttp {
  readonly #options: AcmeHttpOptions
  readonly #agent: Agent
  readonly #elapsedMs: () => number
  readonly #closing = sharedController()
  readonly #probes = new SingleFlight<void>()
  #directory: { readonly response: AcmeResponse; readonly fetchedAt: number } | undefined
  #nonces: string[] = []
  #respondedAt = Number.NEGATIVE_INFINITY
  /** The time of the CA, and when it was received. */
  #caTime: { readonly time: number; readonly at: number } | undefined

  constructor(options: AcmeHttpOptions) {
    this.#options = options
    this.#elapsedMs = monotonic(options.clock)
    this.#agent = options.agent ?? createAgent()
  }

  /** Aborts with a {@link ClosedError} at {@link close}. */
  get closing(): AbortSignal {
    return this.#closing.signal
  }

  /** The CA's clock minus this machine's, in milliseconds. `undefined` before the first response. */
  get clockOffsetMs(): number | undefined {
    if (this.#caTime === undefined) return undefined
    const { time, at } = this.#caTime
    return time + (this.#elapsedMs() - at) - this.#options.clock.now()
  }

  /**
   * Resolves if the CA has responded within the last 10 s, also with a problem or a status of an overload, or responds now.
   * Concurrent calls share one request, which loads the directory or a nonce for the next request.
   * @throws {NoResponseError} if the CA does not respond within 30 s
   * @throws {UnverifiedResponseError} if the response may not come from the CA
   */
  async prepare(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    if (this.#elapsedMs() - this.#respondedAt < responseMaxAgeMs) return
    await abortable(
      this.#probes.run('', () => this.#probe()),
      signal,
    )
  }

  /** Makes an acme-client `Client` send its requests through this object, under `signal`. */
  install(client: object, signal: AbortSignal, maxBadNonces: number = defaultMaxBadNonces): ClientState {
    const { http } = client as ClientInternals
    const state: ClientState = { isUnanswered: false }
    http.maxBadNonceRetries = maxBadNonces
    let badNonces = 0
    http.request = async (url, method, options) => {
      const cached = this.#fromCache(url, method)
      if (cached) return cached
      state.isUnanswered = true
      const { response, problem } = await this.#send(url, method, signal, options?.data).catch(
        (thrown: unknown) => {
          state.isUnanswered = !isResponse(thrown)
          throw thrown
        },
      )
      state.isUnanswered = false
      // acme-client uses the nonce of a HEAD response itself, and that of a badNonce response.
      if (method === 'post' && !problem) this.#keepNonce(response)
      badNonces = problem ? badNonces + 1 : 0
      if (badNonces >= maxBadNonces) throw this.#toError(url, response, problem)
      state.retryAfter = this.#retryAfter(response)
      if (method === 'post') assertResource(url, response)
      return response
    }
    return state
  }

  /** Resolves with the members of the directory (RFC 8555 section 7.1.1) that acme-client ignores. */
  async directory(signal: AbortSignal): Promise<Directory> {
    const { data } = await this.get(this.#options.directoryUrl, signal)
    const { renewalInfo, meta } = (data ?? {}) as { renewalInfo?: unknown; meta?: { profiles?: unknown } }
    return {
      renewalInfo: typeof renewalInfo === 'string' ? renewalInfo : undefined,
      profiles: typeof meta?.profiles === 'object' ? Object.keys(meta.profiles ?? {}) : [],
    }
  }

  /**
   * @throws {NoResponseError} if the CA does not respond
   * @throws {ErrorResponse} if it responds with an error
   */
  async get(url: string, signal: AbortSignal): Promise<AcmeResponse> {
    return this.#fromCache(url, 'get') ?? (await this.#send(url, 'get', signal)).response
  }

  /** Ends all requests with a {@link ClosedError}, and closes the connections unless the agent is the user's. */
  close(): void {
    this.#closing.abort(new ClosedError('the manager was closed'))
    if (this.#options.agent === undefined) this.#agent.destroy()
  }

  async #probe(): Promise<void> {
    const { directoryUrl } = this.#options
    const { newNonce } = Object(this.#fromCache(directoryUrl, 'get')?.data) as { newNonce?: string }
    try {
      if (newNonce === undefined) await this.#send(directoryUrl, 'get', this.closing)
      else this.#keepNonce((await this.#send(newNonce, 'head', this.closing)).response)
    } catch (thrown) {
      // The CA can be reached. The next order retries, and fails with this error if it persists.
      if (thrown instanceof ErrorResponse || (thrown instanceof UnverifiedResponseError && thrown.isPassing))
        return
      throw thrown
    }
  }

  /** Before a signed request, nothing proves that the CA sent the response: see {@link UnverifiedResponseError}. */
  async #send(url: string, method: Method, signal: AbortSignal, data?: object) {
    try {
      return await this.#sendOnce(url, method, signal, data)
    } catch (thrown) {
      const isUnsigned = url === this.#options.directoryUrl || method === 'head'
      const isUnverified =
        thrown instanceof InvalidResponseError || (thrown instanceof ErrorResponse && !thrown.problem)
      if (!isUnsigned || !isUnverified) throw thrown
      const error = new UnverifiedResponseError(thrown)
      if (!error.isPassing) this.#respondedAt = Number.NEGATIVE_INFINITY
      throw error
    }
  }

  /** Throws on error responses except badNonce, where acme-client retries with the nonce of the response. */
  async #sendOnce(url: string, method: Method, signal: AbortSignal, data?: object) {
    const received = await this.#exchange(url, method, signal, data && JSON.stringify(data))
    const response = {
      status: received.status,
      headers: withAbsoluteHeaders(received.headers, received.url),
      data: withAbsoluteUrls(received.data, received.url),
    }
    const { status } = response
    const problem = status >= 400 ? toProblem(response.data, status) : undefined
    const isBadNonce = hasType(problem, 'badNonce')
    if (status >= 400 && !isBadNonce) {
      if (method === 'post') this.#keepNonce(response)
      throw this.#toError(url, response, problem)
    }
    if (url === this.#options.directoryUrl) {
      // All orders would use a cached maintenance page.
      if (!isDirectory(response))
        throw new InvalidResponseError(
          `the response with status ${status} from ${url} is not an ACME directory`,
        )
      this.#directory = { response, fetchedAt: this.#elapsedMs() }
    }
    return { response, problem }
  }

  async #exchange(url: string, method: Method, signal: AbortSignal, body: string | undefined) {
    const { clock, ca } = this.#options
    const controller = sharedController()
    const unlink = linkAbort(controller, [signal, this.closing])
    try {
      const options = { body, agent: this.#agent, ca, clock, signal: controller.signal }
      const response = await send(url, method, options)
      this.#noteResponse(response)
      return response
    } catch (thrown) {
      if (thrown instanceof InvalidResponseError) this.#respondedAt = this.#elapsedMs()
      throw thrown
    } finally {
      unlink()
    }
  }

  #noteResponse({ headers }: LocatedResponse): void {
    const at = this.#elapsedMs()
    this.#respondedAt = at
    const date = Date.parse(headers.date ?? '')
    // A cache in front of the CA adds the response's age (RFC 9111 section 5.1).
    const ageMs = /^\d{1,9}$/.test(headers.age ?? '') ? Number(headers.age) * 1_000 : 0
    if (!Number.isNaN(date)) this.#caTime = { time: date + ageMs, at }
  }

  #keepNonce({ headers }: AcmeResponse): void {
    const nonce = headers['replay-nonce']
    if (nonce !== undefined) this.#nonces = [...this.#nonces.slice(1 - maxNonces), nonce]
  }

  #fromCache(url: string, method: Method): AcmeResponse | undefined {
    if (url === this.#options.directoryUrl) {
      const { response, fetchedAt } = this.#directory ?? { fetchedAt: 0 }
      return this.#elapsedMs() - fetchedAt < directoryMaxAgeMs ? response : undefined
    }
    const nonce = method === 'head' ? this.#nonces.pop() : undefined
    return nonce === undefined ? undefined : { status: 200, headers: { 'replay-nonce': nonce }, data: '' }
  }

  #retryAfter({ headers }: AcmeResponse): number | undefined {
    return parseRetryAfter(headers['retry-after'], this.#options.clock.now(), headers.date)
  }

  #toError(url: string, response: AcmeResponse, problem: AcmeProblem | undefined): ErrorResponse {
    const { status } = response
    const retryAfter = this.#retryAfter(response)
    const details = problem ? describeProblem(problem) : 'no problem document'
    const message = `the CA returned status ${status} from ${url}: ${details}`
    const retryAt = retryAfter === undefined ? undefined : new Date(retryAfter)
    return new ErrorResponse(message, { status, problem, retryAt })
  }
}

/** Whether a response is a directory with the URLs that an order needs (RFC 8555 section 7.1.1). */
function isDirectory({ status, data }: AcmeResponse): boolean {
  const { newNonce, newAccount, newOrder } = Object(data) as Record<string, unknown>
  return status === 200 && [newNonce, newAccount, newOrder].every((url) => typeof url === 'string')
}

/** Throws unless the response to a signed request is an object or a certificate: acme-client would throw a TypeError. */
function assertResource(url: string, { status, data }: AcmeResponse): void {
  if (typeof data === 'object' && data !== null) return
  if (typeof data === 'string' && data.includes('-----BEGIN CERTIFICATE-----')) return
  throw new InvalidResponseError(
    `the response with status ${status} from ${url} is neither a JSON object nor a certificate`,
  )
}
