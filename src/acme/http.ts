import { Agent } from 'node:https'
import type { Clock } from '../util/clock.js'
import { type AcmeProblem, IssuanceError } from '../util/errors.js'
import { type AcmeResponse, send } from './transport.js'

type Request = (url: string, method: string, options?: { data?: object }) => Promise<AcmeResponse>

/** The undocumented part of an acme-client `Client` that is taken over. */
interface ClientInternals {
  readonly http: { request: Request; maxBadNonceRetries: number }
}

/** The directory is asked for again after this time. */
const directoryMaxAgeMs = 3_600_000
/** Connections that are not used are closed before something on the way forgets them. */
const idleMs = 30_000
/** Nonces kept for later requests (RFC 8555 section 6.5); old ones are the likeliest to be refused. */
const maxNonces = 4
/** In characters: it is stored, and told in events. */
const longestDetail = 1_000
const longestType = 200
/** So many refused in a row: something is wrong that another one does not mend. */
const maxBadNonces = 10

/** What the last answer to an order's client said about when to ask again: milliseconds since the epoch. */
export interface PollHint {
  retryAfter?: number | undefined
}

export interface Directory {
  /** Where to ask when a certificate should be replaced (RFC 9773 section 3). */
  readonly renewalInfo: string | undefined
  /** The names that an order may ask for (draft-ietf-acme-profiles). */
  readonly profiles: readonly string[]
}

/**
 * acme-client's way to the CA, in place of its own: refusals become typed errors with problem and `Retry-After`,
 * and directory and nonces (RFC 8555 section 6.5) are asked for only when none is at hand.
 */
export class AcmeHttp {
  readonly #agent: Agent
  #directory: { readonly response: AcmeResponse; readonly fetchedAt: number } | undefined
  #nonces: string[] = []

  private readonly directoryUrl: string
  private readonly clock: Clock

  constructor(directoryUrl: string, clock: Clock, ca: string | Buffer | undefined) {
    this.directoryUrl = directoryUrl
    this.clock = clock
    this.#agent = new Agent({ keepAlive: true, timeout: idleMs, ...(ca === undefined ? {} : { ca }) })
  }

  /** Takes over the requests of one client, for one piece of work. */
  install(client: object, signal: AbortSignal): PollHint {
    const { http } = client as ClientInternals
    const hint: PollHint = {}
    http.maxBadNonceRetries = maxBadNonces
    let badNonces = 0
    http.request = async (url, method, options) => {
      const known = this.#answerFromMemory(url, method)
      if (known) return known
      const { response, problem } = await this.#send(url, method, signal, options?.data)
      badNonces = problem ? badNonces + 1 : 0
      if (badNonces >= maxBadNonces) throw this.#refusal(url, response, problem)
      hint.retryAfter = parseRetryAfter(response.headers['retry-after'], this.clock.now())
      return response
    }
    return hint
  }

  /** What the directory (RFC 8555 section 7.1.1) has that acme-client does not look at. */
  async directory(signal: AbortSignal): Promise<Directory> {
    const { data } = await this.get(this.directoryUrl, signal)
    const { renewalInfo, meta } = (data ?? {}) as { renewalInfo?: unknown; meta?: { profiles?: unknown } }
    const profiles = meta?.profiles
    return {
      renewalInfo: typeof renewalInfo === 'string' ? renewalInfo : undefined,
      profiles: typeof profiles === 'object' && profiles !== null ? Object.keys(profiles) : [],
    }
  }

  /** @throws {IssuanceError} if the CA does not answer, or with an error */
  async get(url: string, signal: AbortSignal): Promise<AcmeResponse> {
    return this.#answerFromMemory(url, 'get') ?? (await this.#send(url, 'get', signal)).response
  }

  close(): void {
    this.#agent.destroy()
  }

  /** A `problem` that it resolves with is a refused nonce: acme-client uses the one that comes with it itself. */
  async #send(url: string, method: string, signal: AbortSignal, data?: object) {
    const body = data && JSON.stringify(data)
    const response = await send(url, method, {
      agent: this.#agent,
      clock: this.clock,
      signal,
      ...(body && { body }),
    })
    const problem = problemOf(response)
    const badNonce = problem?.type === 'urn:ietf:params:acme:error:badNonce'
    if (!badNonce) this.#keepNonce(response)
    if (response.status >= 400 && !badNonce) throw this.#refusal(url, response, problem)
    if (url === this.directoryUrl) {
      // It is kept for all orders: not what a page of maintenance says.
      if (!isDirectory(response)) throw noDirectory(url, response)
      this.#directory = { response, fetchedAt: this.clock.now() }
    }
    return { response, problem }
  }

  #answerFromMemory(url: string, method: string): AcmeResponse | undefined {
    if (url === this.directoryUrl) {
      // Fetched in the future: by a clock that was ahead, and would keep it for so long.
      const ageMs = Math.abs(this.clock.now() - (this.#directory?.fetchedAt ?? 0))
      const fresh = ageMs < directoryMaxAgeMs
      return fresh ? this.#directory?.response : undefined
    }
    const nonce = method === 'head' ? this.#nonces.pop() : undefined
    return nonce === undefined ? undefined : { status: 200, headers: { 'replay-nonce': nonce }, data: '' }
  }

  #keepNonce(response: AcmeResponse): void {
    const nonce = response.headers['replay-nonce']
    if (nonce !== undefined) this.#nonces = [...this.#nonces.slice(1 - maxNonces), nonce]
  }

  #refusal(url: string, response: AcmeResponse, problem: AcmeProblem | undefined): IssuanceError {
    const retryAfter = parseRetryAfter(response.headers['retry-after'], this.clock.now())
    const said = problem ? `${problem.type}: ${problem.detail ?? 'no detail'}` : 'no problem document'
    return new IssuanceError('ERR_ISSUANCE_FAILED', `the CA answered ${response.status} at ${url}: ${said}`, {
      problem,
      retryAt: retryAfter === undefined ? undefined : new Date(retryAfter),
    })
  }
}

/** What RFC 8555 section 7.1.1 has that an order needs. */
function isDirectory({ status, data }: AcmeResponse): boolean {
  const { newNonce, newAccount, newOrder } = Object(data) as Record<string, unknown>
  return status === 200 && [newNonce, newAccount, newOrder].every((url) => typeof url === 'string')
}

const noDirectory = (url: string, { status }: AcmeResponse) =>
  new IssuanceError('ERR_ISSUANCE_FAILED', `what answered ${status} at ${url} is no ACME directory`)

function problemOf(response: AcmeResponse): AcmeProblem | undefined {
  return response.status >= 400 ? toProblem(response.data, response.status) : undefined
}

/** A problem document as received, or as found in an order or a challenge. */
export function toProblem(data: unknown, status?: number): AcmeProblem | undefined {
  const { type, detail } = (typeof data === 'object' && data !== null ? data : {}) as Record<string, unknown>
  if (typeof type !== 'string') return undefined
  return {
    type: type.slice(0, longestType),
    ...(typeof detail === 'string' ? { detail: detail.slice(0, longestDetail) } : {}),
    ...(status === undefined ? {} : { status }),
  }
}

/** `Retry-After` (RFC 9110 section 10.2.3: seconds or an HTTP date) as milliseconds since the epoch. */
export function parseRetryAfter(header: string | undefined, now: number): number | undefined {
  if (header === undefined) return undefined
  if (/^\d{1,9}$/.test(header.trim())) return now + Number(header) * 1_000
  const date = /GMT\s*$/.test(header) ? Date.parse(header) : Number.NaN
  return Number.isNaN(date) ? undefined : date
}
