import { once } from 'node:events'
import type { Agent, IncomingMessage } from 'node:http'
import { request } from 'node:https'
import type { Clock } from '../../util/clock.js'
import { withDeadline } from '../../util/deadline.js'
import { endSentence, NoResponseError, toError } from '../../util/errors.js'
import { InvalidResponseError } from './problem.js'

/** A response of the CA, in the form that acme-client expects. */
export interface AcmeResponse {
  readonly status: number
  readonly headers: Readonly<Record<string, string | undefined>>
  /** The parsed body if it is a JSON object or array, else its text. */
  readonly data: unknown
}

/** A response, and the URL that sent it: the last one of a series of redirects. */
export interface LocatedResponse extends AcmeResponse {
  readonly url: string
}

export type Method = 'get' | 'head' | 'post'

export interface SendOptions {
  readonly body?: string | undefined
  readonly agent: Agent
  /** Certificates in PEM to trust. Default: those of the agent, or Node's. */
  readonly ca?: string | Buffer | undefined
  readonly signal: AbortSignal
  readonly clock: Clock
}

/** Time limit of a request, from the connection to the end of the body, redirects included. */
const requestTimeoutMs = 30_000
/** Far above the few KiB of a certificate chain. */
const maxBodyBytes = 1024 * 1024
const maxRedirects = 5
const redirectStatuses = [301, 302, 303, 307, 308]

/**
 * Sends one request to the CA. Replaces acme-client's own function, which retries five times, waits out any
 * `Retry-After`, has no timeout, and throws a TypeError when the connection is refused.
 *
 * Follows redirects of GET and HEAD. A POST cannot be redirected: its signature names the URL (RFC 8555 section 6.4).
 * @throws {NoResponseError} if no complete response arrives within 30 s
 * @throws {InvalidResponseError} for a redirect that cannot be followed, or a body of more than 1 MiB
 * @throws the signal's reason
 */
export async function send(url: string, method: Method, options: SendOptions): Promise<LocatedResponse> {
  const { signal, clock } = options
  signal.throwIfAborted()
  const error = () => new Error(`no complete response within ${requestTimeoutMs / 1_000} s`)
  const bound = { ms: requestTimeoutMs, clock, error, signal }
  const operation = async (deadline: AbortSignal) => {
    const attempt = () => follow(url, method, { ...options, signal: deadline })
    return attempt().catch((thrown: unknown) => {
      if (thrown instanceof StaleConnectionError && !deadline.aborted) return attempt()
      throw thrown
    })
  }
  try {
    return await withDeadline(operation, bound)
  } catch (thrown) {
    signal.throwIfAborted()
    if (thrown instanceof InvalidResponseError) throw thrown
    const { code, message } = toError(thrown) as NodeJS.ErrnoException
    const text = `the request to ${url} failed: ${code ?? message}`
    throw new NoResponseError(withAdvice(text, adviceForConnection(code)), { cause: thrown })
  }
}

/** The CA closed a kept-alive connection at the moment of its reuse. */
class StaleConnectionError extends Error {}

async function follow(url: string, method: Method, options: SendOptions): Promise<LocatedResponse> {
  let current = url
  for (let redirects = 0; ; redirects++) {
    const response = await exchange(current, method, options)
    const { location } = response.headers
    if (!redirectStatuses.includes(response.status) || location === undefined)
      return { ...response, url: current }
    const target = URL.canParse(location, current) ? new URL(location, current).href : location
    const fail = (reason: string) =>
      new InvalidResponseError(
        `the CA redirects ${current} to ${target} with status ${response.status}, ${reason}`,
      )
    if (method === 'post')
      throw fail('but a signed request cannot be redirected. Set acme.directoryUrl to the new directory.')
    if (!target.startsWith('https://')) throw fail('which is not an https URL')
    if (redirects >= maxRedirects) throw fail(`after ${maxRedirects} other redirects`)
    current = target
  }
}

async function exchange(
  url: string,
  method: Method,
  { body, agent, ca, signal }: SendOptions,
): Promise<AcmeResponse> {
  const headers = {
    'user-agent': 'acme-cert-cache', // RFC 8555 section 6.1
    ...(body && { 'content-type': 'application/jose+json', 'content-length': Buffer.byteLength(body) }),
  }
  const trust = ca === undefined ? {} : { ca }
  const outgoing = request(url, { method: method.toUpperCase(), headers, agent, signal, ...trust })
  // An error after the response reaches the reader of the body; Node 24 emits it on the request as well.
  outgoing.on('error', () => undefined)
  outgoing.end(body)
  let incoming: IncomingMessage
  try {
    ;[incoming] = (await once(outgoing, 'response', { signal })) as [IncomingMessage]
  } catch (thrown) {
    const { code } = toError(thrown) as NodeJS.ErrnoException
    throw outgoing.reusedSocket && code === 'ECONNRESET' ? new StaleConnectionError('ECONNRESET') : thrown
  }
  const text = await readBody(incoming, url)
  return {
    status: incoming.statusCode ?? 0,
    headers: incoming.headers as AcmeResponse['headers'],
    data: parseBody(text),
  }
}

/** Parses JSON whatever its content type: CAs and proxies send `text/plain`, none, or `Application/JSON`. */
function parseBody(text: string): unknown {
  if (!/^\s*[[{]/.test(text)) return text
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

async function readBody(incoming: IncomingMessage, url: string): Promise<string> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of incoming as AsyncIterable<Buffer>) {
    size += chunk.byteLength
    if (size > maxBodyBytes)
      throw new InvalidResponseError(`the response from ${url} is larger than ${maxBodyBytes} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString()
}

/** https://nodejs.org/api/tls.html#x509-certificate-error-codes */
const untrustedCodes = [
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
]

/** Returns what to do about a failed connection to the CA, or an empty text. */
const adviceForConnection = (code: string | undefined): string =>
  untrustedCodes.includes(code ?? '') ? 'For a private CA, set acme.ca to its root certificate.' : ''

/** Adds the advice to a message, as a sentence of its own. */
export const withAdvice = (message: string, advice: string): string =>
  advice === '' ? message : `${endSentence(message)} ${advice}`
