import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { type Agent, request } from 'node:https'
import type { Clock } from '../util/clock.js'
import { withDeadline } from '../util/deadline.js'
import { IssuanceError, toError } from '../util/errors.js'

/** An answer of the CA, in the form acme-client expects. */
export interface AcmeResponse {
  readonly status: number
  readonly headers: Readonly<Record<string, string | undefined>>
  /** Parsed if it is JSON, else text. */
  readonly data: unknown
}

/** One request, connection to body. The whole order has its own bound. */
const requestMs = 30_000
/** A chain is a few KiB. */
const largestBody = 1024 * 1024

/**
 * One request to the CA. In place of acme-client's own, which retries five times, sleeps through any
 * `Retry-After`, has no time-out, and makes a TypeError of a refused connection.
 * @throws {IssuanceError} without a complete answer
 */
export async function send(
  url: string,
  method: string,
  options: { body?: string; agent: Agent; signal: AbortSignal; clock: Clock },
): Promise<AcmeResponse> {
  const { body, agent, signal, clock } = options
  signal.throwIfAborted()
  const error = () => new Error(`nothing for ${requestMs / 1_000} s`)
  const attempt = () =>
    withDeadline((bound) => exchange(url, method, body, agent, bound), {
      ms: requestMs,
      clock,
      error,
      signal,
    })
  try {
    return await attempt().catch((thrown: unknown) => {
      // The CA has closed a connection that was kept open just when it was used again.
      if (thrown instanceof StaleConnection) return attempt()
      throw thrown
    })
  } catch (thrown) {
    signal.throwIfAborted()
    const { code, message } = toError(thrown) as NodeJS.ErrnoException
    throw new IssuanceError('ERR_ISSUANCE_FAILED', `the CA did not answer at ${url}: ${code ?? message}`)
  }
}

class StaleConnection extends Error {}

async function exchange(
  url: string,
  method: string,
  body: string | undefined,
  agent: Agent,
  signal: AbortSignal,
): Promise<AcmeResponse> {
  const headers = {
    'user-agent': 'acme-cert-cache', // RFC 8555 section 6.1
    ...(body === undefined
      ? {}
      : { 'content-type': 'application/jose+json', 'content-length': Buffer.byteLength(body) }),
  }
  const outgoing = request(url, { method: method.toUpperCase(), headers, agent, signal })
  // After the response has come, whoever reads it is told; Node 24 tells the request as well.
  outgoing.on('error', () => undefined)
  outgoing.end(body)
  let incoming: IncomingMessage
  try {
    ;[incoming] = (await once(outgoing, 'response', { signal })) as [IncomingMessage]
  } catch (thrown) {
    const { code } = toError(thrown) as NodeJS.ErrnoException
    throw outgoing.reusedSocket && code === 'ECONNRESET' ? new StaleConnection('ECONNRESET') : thrown
  }
  const text = await readBody(incoming)
  const status = incoming.statusCode ?? 0
  const json = method !== 'head' && /[/+]json\b/.test(incoming.headers['content-type'] ?? '')
  return {
    status,
    headers: incoming.headers as AcmeResponse['headers'],
    data: json ? parseJson(text, status) : text,
  }
}

/** Of a refusal status and `Retry-After` count, whatever it says. */
function parseJson(text: string, status: number): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    if (status < 400) throw error
    return text
  }
}

async function readBody(incoming: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of incoming as AsyncIterable<Buffer>) {
    size += chunk.byteLength
    if (size > largestBody) throw new Error(`its answer is larger than ${largestBody} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString()
}
