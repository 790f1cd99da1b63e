import { Agent } from 'node:https'
import type { Clock } from './clock.js'
import { type AcmeProblem, IssuanceError, toError } from './errors.js'

/** What acme-client passes to and expects from its HTTP layer, as far as it matters here. */
interface Response {
  readonly status: number
  readonly headers: Readonly<Record<string, string | undefined>>
  readonly data: unknown
}
type Request = (url: string, method: string, options?: Record<string, unknown>) => Promise<Response>

/** The undocumented part of an acme-client `Client` that is taken over. */
interface ClientInternals {
  readonly http: { request: Request }
}

/** One request, connection to body. The whole order has its own bound. */
const requestTimeoutMs = 30_000
/** The directory is asked for again after this time. */
const directoryMaxAgeMs = 3_600_000
/** Nonces kept for later requests (RFC 8555 section 6.5); old ones are the likeliest to be refused. */
const maxNonces = 4

/** What the last answer to an order's client said about when to ask again: milliseconds since the epoch. */
export interface PollHint {
  retryAfter?: number | undefined
}

/**
 * acme-client's way to the CA, without its own: no hidden retries, no sleeping through a `Retry-After`, a
 * time-out for every request, problem documents as typed errors, and fewer requests for directory and nonces.
 */
export class AcmeHttp {
  readonly #agent: Agent
  #directory: { readonly response: Response; readonly fetchedAt: number } | undefined
  #nonces: string[] = []

  constructor(
    private readonly directoryUrl: string,
    private readonly clock: Clock,
    ca: string | Buffer | undefined,
  ) {
    this.#agent = new Agent({ keepAlive: true, ...(ca === undefined ? {} : { ca }) })
  }

  /** Takes over the requests of one client, for one piece of work. */
  install(client: object, signal: AbortSignal): PollHint {
    const { http } = client as ClientInternals
    const send = http.request.bind(http)
    const hint: PollHint = {}
    http.request = async (url, method, options) => {
      const known = this.#answerFromMemory(url, method)
      if (known) return known
      const response = await this.#send(send, url, method, { ...options }, signal)
      const problem = problemOf(response)
      const badNonce = problem?.type === 'urn:ietf:params:acme:error:badNonce'
      // acme-client uses the nonce that comes with a badNonce itself.
      if (!badNonce) this.#keepNonce(response)
      hint.retryAfter = parseRetryAfter(response.headers['retry-after'], this.clock.now())
      if (response.status >= 400 && !badNonce) throw this.#refusal(url, response, problem, hint.retryAfter)
      if (url === this.directoryUrl) this.#directory = { response, fetchedAt: this.clock.now() }
      return response
    }
    return hint
  }

  close(): void {
    this.#agent.destroy()
  }

  #answerFromMemory(url: string, method: string): Response | undefined {
    if (url === this.directoryUrl) {
      const fresh = this.#directory && this.clock.now() - this.#directory.fetchedAt < directoryMaxAgeMs
      return fresh ? this.#directory?.response : undefined
    }
    const nonce = method === 'head' ? this.#nonces.pop() : undefined
    return nonce === undefined ? undefined : { status: 200, headers: { 'replay-nonce': nonce }, data: '' }
  }

  async #send(
    send: Request,
    url: string,
    method: string,
    options: Record<string, unknown>,
    signal: AbortSignal,
  ): Promise<Response> {
    signal.throwIfAborted()
    const ours = {
      timeout: requestTimeoutMs,
      signal,
      httpsAgent: this.#agent,
      retryAttempt: Number.POSITIVE_INFINITY,
    }
    try {
      return await send(url, method, { ...options, ...ours })
    } catch (thrown) {
      signal.throwIfAborted()
      const { message, code } = toError(thrown) as Error & { code?: string }
      // Not as the cause: axios' errors hold the whole request.
      throw new IssuanceError('ERR_ISSUANCE_FAILED', `the CA did not answer at ${url}: ${code ?? message}`)
    }
  }

  #keepNonce(response: Response): void {
    const nonce = response.headers['replay-nonce']
    if (nonce !== undefined) this.#nonces = [...this.#nonces.slice(1 - maxNonces), nonce]
  }

  #refusal(
    url: string,
    response: Response,
    problem: AcmeProblem | undefined,
    retryAfter: number | undefined,
  ): IssuanceError {
    const said = problem ? `${problem.type}: ${problem.detail ?? 'no detail'}` : 'no problem document'
    return new IssuanceError('ERR_ISSUANCE_FAILED', `the CA answered ${response.status} at ${url}: ${said}`, {
      problem,
      retryAt: retryAfter === undefined ? undefined : new Date(retryAfter),
    })
  }
}

function problemOf(response: Response): AcmeProblem | undefined {
  return response.status >= 400 ? toProblem(response.data, response.status) : undefined
}

/** A problem document as received, or as found in an order or a challenge. */
export function toProblem(data: unknown, status?: number): AcmeProblem | undefined {
  const { type, detail } = (typeof data === 'object' && data !== null ? data : {}) as Record<string, unknown>
  if (typeof type !== 'string') return undefined
  return {
    type,
    ...(typeof detail === 'string' ? { detail } : {}),
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
