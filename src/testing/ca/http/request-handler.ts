import type { Authority } from '../authority/authority.js'
import { type PostEndpoint, postEndpoints } from '../endpoints/post-endpoints.js'
import { renewalInfo } from '../endpoints/renewal-info.js'
import type { PreparedRequest, Reply, SignedRequest } from '../endpoints/request.js'
import { type AccountKey, type Jws, parseJson, parseJwk, parseJws, verifyJws } from '../messages/jws.js'
import { Problem, toProblemDocument } from '../messages/problem.js'
import { applyFault } from '../resources/faults.js'
import { directoryJson } from '../resources/json.js'
import type { Account } from '../resources/resources.js'
import { type Endpoint, endpoints } from '../resources/urls.js'

/** An HTTP request with its complete body. */
export interface AcmeRequest {
  readonly method: string
  /** Path and query. */
  readonly path: string
  readonly contentType: string | undefined
  readonly body: string
}

/**
 * Handles a request, and adds the headers that all replies share (RFC 8555 §6.5, §7.1).
 * @returns the reply; a problem document for every error
 */
export async function handleRequest(ca: Authority, request: AcmeRequest): Promise<Reply> {
  ca.requests += 1
  const reply = await dispatch(ca, request)
  const index = `<${ca.urls.of('directory')}>;rel="index"`
  const link = reply.headers?.link ? `${index}, ${reply.headers.link}` : index
  // Clients may compare their clock with the CA's (RFC 9110 §6.6.1).
  const date = new Date(ca.now()).toUTCString()
  const headers: Record<string, string> = { date, 'cache-control': 'no-store', ...reply.headers, link }
  // Every POST gets a nonce (RFC 8555 §6.5); newNonce only when it succeeds.
  const isNewNonce = /^\/newNonce(\?|$)/.test(request.path) && reply.status < 300
  if (request.method === 'POST' || isNewNonce) headers['replay-nonce'] = ca.nonces.issue()
  return { ...reply, headers }
}

async function dispatch(ca: Authority, request: AcmeRequest): Promise<Reply> {
  try {
    const { endpoint, id } = route(request.path)
    const prepared = isUnsigned(endpoint)
      ? prepareUnsigned(ca, endpoint, id, request)
      : postEndpoints[endpoint](ca, authenticate(ca, endpoint, id, request))
    return await runWithFaults(ca, endpoint, prepared)
  } catch (error) {
    const body = toProblemDocument(error)
    const headers = error instanceof Problem ? error.headers : {}
    return { status: body.status, headers, contentType: 'application/problem+json', body }
  }
}

async function runWithFaults(ca: Authority, endpoint: Endpoint, prepared: PreparedRequest): Promise<Reply> {
  const fault = ca.faults.match(endpoint, prepared.hosts)
  if (fault === undefined) return prepared.run(undefined)
  const complete: Reply = (await applyFault(fault, ca.tasks.signal)) ?? (await prepared.run(fault))
  const { breakOff, contentType, retryAfter } = fault
  const reply: Reply = {
    ...(fault.relativeUrls ? withRelativeUrls(complete, ca.urls.origin) : complete),
    ...(contentType !== undefined && { contentType }),
    breakOff,
  }
  if (retryAfter === undefined) return reply
  return { ...reply, headers: { ...reply.headers, 'retry-after': String(retryAfter) } }
}

/** Removes the CA's origin from the URLs in the body and the Location header. */
function withRelativeUrls({ headers, body, ...reply }: Reply, origin: string): Reply {
  const location = headers?.location?.replace(origin, '')
  return {
    ...reply,
    headers: { ...headers, ...(location !== undefined && { location }) },
    ...(body !== undefined && {
      body: typeof body === 'object' ? JSON.stringify(body).replaceAll(`"${origin}/`, '"/') : body,
    }),
  }
}

function route(path: string): { endpoint: Endpoint; id: string } {
  const [, name, id = '', ...rest] = (path.split('?', 1)[0] as string).split('/')
  const endpoint = endpoints.find((candidate) => candidate === name)
  if (endpoint === undefined || rest.length > 0) {
    throw new Problem('malformed', `There is no resource at ${path}`, { status: 404 })
  }
  return { endpoint, id }
}

const unsignedEndpoints = ['directory', 'terms', 'newNonce', 'renewalInfo'] as const

function isUnsigned(endpoint: Endpoint): endpoint is Exclude<Endpoint, PostEndpoint> {
  return unsignedEndpoints.some((unsigned) => unsigned === endpoint)
}

function prepareUnsigned(
  ca: Authority,
  endpoint: Exclude<Endpoint, PostEndpoint>,
  id: string,
  { method }: AcmeRequest,
): PreparedRequest {
  if (method !== 'GET' && method !== 'HEAD') throw notAllowed(method, 'GET, HEAD')
  const replies: Record<typeof endpoint, () => Reply> = {
    directory: () => ({
      status: 200,
      body: directoryJson(ca.urls, ca.externalAccounts !== undefined, ca.settings),
    }),
    terms: () => ({ status: 200, contentType: 'text/plain', body: 'For tests only.\n' }),
    newNonce: () => ({ status: method === 'HEAD' ? 200 : 204 }),
    renewalInfo: () => renewalInfo(ca, id),
  }
  return { hosts: [], run: replies[endpoint] }
}

/** Verifies the JWS of a request and parses its payload. RFC 8555 §6.2 to §6.5. */
function authenticate(
  ca: Authority,
  endpoint: PostEndpoint,
  id: string,
  request: AcmeRequest,
): SignedRequest {
  if (request.method !== 'POST') throw notAllowed(request.method, 'POST')
  if (request.contentType?.split(';')[0]?.trim() !== 'application/jose+json') {
    throw new Problem('malformed', 'The content type must be application/jose+json', { status: 415 })
  }
  const jws = parseJws(parseJson(request.body, 'The body'))
  const { key, account } = resolveKey(ca, endpoint, jws)
  verifyJws(jws, key)
  ca.nonces.redeem(jws.header.nonce, ca.settings.badNonceRate)
  const url = ca.urls.origin + request.path
  if (jws.header.url !== url) {
    throw new Problem('unauthorized', 'The JWS was signed for another URL', { status: 401 })
  }
  if (account && account.status !== 'valid') {
    throw new Problem('unauthorized', `The account is ${account.status}`, { status: 401 })
  }
  const payload = jws.payload === '' ? undefined : parseJson(jws.payload, 'The payload')
  return { id, url, payload, key, account }
}

function resolveKey(
  ca: Authority,
  endpoint: PostEndpoint,
  { header }: Jws,
): { key: AccountKey; account: Account | undefined } {
  if ('jwk' in header === 'kid' in header) {
    throw new Problem('malformed', 'The JWS must have either jwk or kid')
  }
  if ((endpoint === 'newAccount') !== 'jwk' in header) {
    throw new Problem('malformed', 'newAccount requires a jwk, every other endpoint a kid')
  }
  if ('jwk' in header) return { key: parseJwk(header.jwk), account: undefined }
  const account = [...ca.resources.accounts.values()].find(
    ({ id }) => header.kid === ca.urls.of('account', id),
  )
  if (account === undefined) {
    throw new Problem('accountDoesNotExist', `There is no account ${String(header.kid)}`)
  }
  return { key: account.key, account }
}

function notAllowed(method: string, allow: string): Problem {
  return new Problem('malformed', `${method} is not allowed here`, { status: 405, headers: { allow } })
}
