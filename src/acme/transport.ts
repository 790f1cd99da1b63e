import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { type Agent, request } from 'node:https'
import type { Clock } from '../util/clock.js'
import { withDeadline } from '../util/deadline.js'
import { endSentence, IssuanceError, toError } from '../util/errors.js'

/** A response of the CA, in the form that acme-client expects. */
export interface AcmeResponse {
  readonly status: number
  readonly headers: Readonly<Record<string, string | undefined>>
  /** The parsed body if it is JSON, else its text. */
  readonly data: unknown
}

/** Time limit of a request, from the connection to the end of the body. */
const requestTimeoutMs = 30_000
/** Far above the few KiB of a certificate chain. */
const maxBodyBytes = 1024 * 1024

/**
 * Sends one request to the CA. Replaces acme-client's own function, which retries five times, waits out any
 * `Retry-After`, has no timeout, and throws a TypeError when the connection is refused.
 * @throws {IssuanceError} if no complete response arrives within 30 s
 * @throws the signal's reason
 */
export async function send(
  url: string,
  method: string,
  options: { body?: string | undefined; agent: Agent; signal: AbortSignal; clock: Clock },
): Promise<AcmeResponse> {
  const { body, agent, signal, clock } = options
  signal.throwIfAborted()
  const error = () => new Error(`no complete response within ${requestTimeoutMs / 1_000} s`)
  const bound = { ms: requestTimeoutMs, clock, error, signal }
  const attempt = () => withDeadline((deadline) => exchange(url, method, body, agent, deadline), bound)
  try {
    return await attempt().catch((thrown: unknown) => {
      if (thrown instanceof StaleConnectionError) return attempt()
      throw thrown
    })
  } catch (thrown) {
    signal.throwIfAborted()
    const { code, message } = toError(thrown) as NodeJS.ErrnoException
    const text = `the request to ${url} failed: ${code ?? message}`
    throw new IssuanceError('ERR_ISSUANCE_FAILED', withAdvice(text, adviceForConnection(code)))
  }
}

/** The CA closed a kept-alive connection at the moment of its reuse. */
class StaleConnectionError extends Error {}

async function exchange(
  url: string,
  method: string,
  body: string | undefined,
  agent: Agent,
  signal: AbortSignal,
): Promise<AcmeResponse> {
  const headers = {
    'user-agent': 'acme-cert-cache', // RFC 8555 section 6.1
    ...(body && { 'content-type': 'application/jose+json', 'content-length': Buffer.byteLength(body) }),
  }
  const outgoing = request(url, { method: method.toUpperCase(), headers, agent, signal })
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
  const text = await readBody(incoming)
  const status = incoming.statusCode ?? 0
  const isJson = method !== 'head' && /[/+]json\b/.test(incoming.headers['content-type'] ?? '')
  return {
    status,
    headers: incoming.headers as AcmeResponse['headers'],
    data: isJson ? parseJson(text, status) : text,
  }
}

/** Throws on invalid JSON, except in an error response: its status and `Retry-After` are needed. */
function parseJson(text: string, status: number): unknown {
  try {
    return JSON.parse(text)
  } catch {
    if (status < 400) throw new Error('the response is not valid JSON')
    return text
  }
}

async function readBody(incoming: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of incoming as AsyncIterable<Buffer>) {
    size += chunk.byteLength
    if (size > maxBodyBytes) throw new Error(`the response is larger than ${maxBodyBytes} bytes`)
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
