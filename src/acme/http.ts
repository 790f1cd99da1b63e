import { Agent } from 'node:https'
import { type Clock, monotonic } from '../util/clock.js'
import { type AcmeProblem, IssuanceError } from '../util/errors.js'
import { type AcmeResponse, send } from './transport.js'

/** The undocumented members of an acme-client `Client` that {@link AcmeHttp} replaces. */
interface ClientInternals {
  readonly http: {
    request: (url: string, method: string, options?: { data?: object }) => Promise<AcmeResponse>
    maxBadNonceRetries: number
  }
}

/** How long the directory is cached. */
const directoryMaxAgeMs = 3_600_000
/** Number of nonces cached, the most recent (RFC 8555 section 6.5): the CA is likelier to reject old ones. */
const maxNonces = 4
/** Number of rejected nonces in a row after which a request fails. */
const maxBadNonces = 10

/** The `Retry-After` of a client's last response, in milliseconds since the epoch. */
export interface PollHint {
  retryAfter?: number | undefined
}

/** The members of an ACME directory that acme-client ignores. */
interface Directory {
  /** URL of the renewal information (RFC 9773 section 3). */
  readonly renewalInfo: string | undefined
  /** Names of the profiles that an order may select (draft-ietf-acme-profiles). */
  readonly profiles: readonly string[]
}

/**
 * Sends requests to a CA, in place of acme-client's own HTTP. Converts error responses to an {@link IssuanceError} with
 * problem and `Retry-After`, and caches the directory and nonces (RFC 8555 section 6.5).
 */
export class AcmeHttp {
  readonly #agent: Agent
  #directory: { readonly response: AcmeResponse; readonly fetchedAt: number } | undefined
  #nonces: string[] = []
  readonly #directoryUrl: string
  readonly #clock: Clock
  readonly #elapsedMs: () => number

  constructor(directoryUrl: string, clock: Clock, ca: string | Buffer | undefined) {
    this.#directoryUrl = directoryUrl
    this.#clock = clock
    this.#elapsedMs = monotonic(clock)
    // Closes idle connections before a NAT or firewall drops them.
    this.#agent = new Agent({ keepAlive: true, timeout: 30_000, ...(ca === undefined ? {} : { ca }) })
  }

  /** Makes an acme-client `Client` send its requests through this object, under `signal`. */
  install(client: object, signal: AbortSignal): PollHint {
    const { http } = client as ClientInternals
    const hint: PollHint = {}
    http.maxBadNonceRetries = maxBadNonces
    let badNonces = 0
    http.request = async (url, method, options) => {
      const cached = this.#fromCache(url, method)
      if (cached) return cached
      const { response, problem } = await this.#send(url, method, signal, options?.data)
      badNonces = problem ? badNonces + 1 : 0
      if (badNonces >= maxBadNonces) throw this.#toError(url, response, problem)
      hint.retryAfter = parseRetryAfter(response.headers['retry-after'], this.#clock.now())
      return response
    }
    return hint
  }

  /** Resolves with the members of the directory (RFC 8555 section 7.1.1) that acme-client ignores. */
  async directory(signal: AbortSignal): Promise<Directory> {
    const { data } = await this.get(this.#directoryUrl, signal)
    const { renewalInfo, meta } = (data ?? {}) as { renewalInfo?: unknown; meta?: { profiles?: unknown } }
    return {
      renewalInfo: typeof renewalInfo === 'string' ? renewalInfo : undefined,
      profiles: typeof meta?.profiles === 'object' ? Object.keys(meta.profiles ?? {}) : [],
    }
  }

  /** @throws {IssuanceError} if the CA does not answer, or answers with an error */
  async get(url: string, signal: AbortSignal): Promise<AcmeResponse> {
    return this.#fromCache(url, 'get') ?? (await this.#send(url, 'get', signal)).response
  }

  close(): void {
    this.#agent.destroy()
  }

  /** Throws on error responses except badNonce, where acme-client retries with the nonce of the response. */
  async #send(url: string, method: string, signal: AbortSignal, data?: object) {
    const body = data && JSON.stringify(data)
    const response = await send(url, method, { body, agent: this.#agent, clock: this.#clock, signal })
    const problem = response.status >= 400 ? toProblem(response.data, response.status) : undefined
    const isBadNonce = problem?.type === 'urn:ietf:params:acme:error:badNonce'
    const nonce = response.headers['replay-nonce']
    if (nonce !== undefined && !isBadNonce) this.#nonces = [...this.#nonces.slice(1 - maxNonces), nonce]
    if (response.status >= 400 && !isBadNonce) throw this.#toError(url, response, problem)
    if (url === this.#directoryUrl) {
      // All orders would use a cached maintenance page.
      if (!isDirectory(response)) {
        const message = `the response with status ${response.status} from ${url} is not an ACME directory`
        throw new IssuanceError('ERR_ISSUANCE_FAILED', message)
      }
      this.#directory = { response, fetchedAt: this.#elapsedMs() }
    }
    return { response, problem }
  }

  #fromCache(url: string, method: string): AcmeResponse | undefined {
    if (url === this.#directoryUrl) {
      const { response, fetchedAt } = this.#directory ?? { fetchedAt: 0 }
      return this.#elapsedMs() - fetchedAt < directoryMaxAgeMs ? response : undefined
    }
    const nonce = method === 'head' ? this.#nonces.pop() : undefined
    return nonce === undefined ? undefined : { status: 200, headers: { 'replay-nonce': nonce }, data: '' }
  }

  #toError(url: string, response: AcmeResponse, problem: AcmeProblem | undefined): IssuanceError {
    const retryAfter = parseRetryAfter(response.headers['retry-after'], this.#clock.now())
    const details = problem ? `${problem.type}: ${problem.detail ?? 'no detail'}` : 'no problem document'
    const message = `the CA returned status ${response.status} from ${url}: ${details}`
    const retryAt = retryAfter === undefined ? undefined : new Date(retryAfter)
    return new IssuanceError('ERR_ISSUANCE_FAILED', message, { problem, retryAt })
  }
}

/** Whether a response is a directory with the URLs that an order needs (RFC 8555 section 7.1.1). */
function isDirectory({ status, data }: AcmeResponse): boolean {
  const { newNonce, newAccount, newOrder } = Object(data) as Record<string, unknown>
  return status === 200 && [newNonce, newAccount, newOrder].every((url) => typeof url === 'string')
}

/**
 * Returns a problem document (RFC 7807), received or part of an order or challenge. `undefined` if it is invalid. Its
 * texts are shortened, because problems are stored and emitted in events.
 */
export function toProblem(data: unknown, status?: number): AcmeProblem | undefined {
  const { type, detail } = Object(data) as Record<string, unknown>
  if (typeof type !== 'string') return undefined
  return {
    type: type.slice(0, 200),
    ...(typeof detail === 'string' ? { detail: detail.slice(0, 1_000) } : {}),
    ...(status === undefined ? {} : { status }),
  }
}

/**
 * Returns a `Retry-After` (RFC 9110 section 10.2.3: seconds, or an HTTP date) in milliseconds since the epoch.
 * `undefined` if it is missing or invalid.
 */
export function parseRetryAfter(header: string | undefined, now: number): number | undefined {
  if (header === undefined) return undefined
  if (/^\d{1,9}$/.test(header.trim())) return now + Number(header) * 1_000
  const date = /GMT\s*$/.test(header) ? Date.parse(header) : Number.NaN
  return Number.isNaN(date) ? undefined : date
}
