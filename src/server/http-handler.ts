import type { IncomingMessage, ServerResponse } from 'node:http'
import type { BlockList } from 'node:net'
import { type Host, normalizeHost } from '../certificates/hostname.js'
import { isToken } from '../certificates/storage-layout.js'
import { callSafely, warnUnhandled } from '../util/safe-call.js'
import { type OptionNames, oneOf, optional, plainObject, positiveInteger } from '../util/validate.js'
import { checkAddressList, clientAddress } from './client-address.js'
import { type HttpRequest, isProbeName, requestedName, requestPath } from './http-request.js'

/** Handles requests other than challenges: an `http.RequestListener`, an Express application, … */
export type HttpFallback<Request = IncomingMessage, Response = ServerResponse> = (
  req: Request,
  res: Response,
) => void

/** A handler for `http.createServer` or `http2.createServer`, or for Express's `app.use`. */
export type HttpHandler<Request = IncomingMessage, Response = ServerResponse> = (
  req: Request,
  res: Response,
  next?: (error?: unknown) => void,
) => void

/** Options of `CertManager.httpHandler`. */
export interface HttpHandlerOptions {
  /**
   * Status of the redirects of GET and HEAD requests. Requests with another method are redirected with 308, or with this
   * status if it is 307: these two preserve the method. Default: 302.
   */
  redirectStatus?: 301 | 302 | 303 | 307 | 308
  /** The port that redirects lead to, 1 to 65,535. Default: 443. */
  httpsPort?: number
  /**
   * The proxies whose `X-Forwarded-For` is believed: IP addresses, and networks in CIDR notation, at least one. The
   * client's address is then the right-most one in that header that is not trusted. The rate limit of challenge
   * requests and `hostPolicy` use this address. Default: none, so it is the address of the connection.
   */
  trustedProxies?: readonly string[]
}

const optionNames: OptionNames<HttpHandlerOptions> = {
  redirectStatus: true,
  httpsPort: true,
  trustedProxies: true,
}

/** Validated options, with defaults applied. */
interface HandlerSettings {
  readonly fallback: HttpFallback<HttpRequest, HttpResponse> | undefined
  readonly redirectStatus: number
  readonly httpsPort: number
  readonly trustedProxies: BlockList | undefined
}

/** What the handler uses of a response. */
interface HttpResponse {
  readonly headersSent: boolean
  readonly writableEnded: boolean
  writeHead(status: number, headers: Record<string, string | number>): unknown
  end(data?: Uint8Array | string): unknown
}

const challengePath = '/.well-known/acme-challenge/'

/** Provides the answers to http-01 challenges. */
export interface AnswerSource {
  /** Returns the answer to a challenge of an order in this process. */
  pendingAnswer(token: string): Uint8Array | undefined
  /**
   * Resolves with the answer in the store; with `undefined` if there is none or the host policy refuses the host.
   * @param client the client's IP address
   */
  storedAnswer(token: string, host: Host, client: string | undefined): Promise<Uint8Array | undefined>
  /** Called for a challenge request whose host is not a name that a public CA issues a certificate for. */
  onInvalidName(name: string): void
}

/**
 * Creates a handler that answers http-01 challenges (RFC 8555 section 8.3). Other requests go to the fallback, else to
 * `next`, else are redirected to https.
 * @throws {TypeError} naming the invalid argument
 */
export function createHttpHandler(
  source: AnswerSource,
  fallback?: unknown,
  options: unknown = {},
): HttpHandler<HttpRequest, HttpResponse> {
  const settings = checkSettings(fallback, options)
  return (req, res, next) => {
    const path = requestPath(req)
    if (!path.startsWith(challengePath))
      return passOn(req, res, next, () => redirect(req, res, path, settings))
    const onUnknown = () => passOn(req, res, next, () => reply(req, res, 404, 'no such challenge'))
    const [token = ''] = path.slice(challengePath.length).split('?', 1)
    if (!isRead(req)) return reply(req, res, 405, 'use GET or HEAD')
    if (!isToken(token)) return onUnknown()
    // The token alone identifies the order: a proxy may have replaced the host.
    const pending = source.pendingAnswer(token)
    if (pending) return sendAnswer(req, res, pending)
    const name = requestedName(req)
    const host = normalizeHost(name)
    if (host !== undefined) return callSafely(() => answerFromStore(req, res, token, host, onUnknown))
    source.onInvalidName(name.slice(0, maxShownName))
    onUnknown()
  }

  /** Calls the fallback, else `next`, else `answer`. */
  function passOn(
    req: HttpRequest,
    res: HttpResponse,
    next: (() => void) | undefined,
    answer: () => void,
  ): void {
    if (settings.fallback) settings.fallback(req, res)
    else if (next) next()
    else answer()
  }

  async function answerFromStore(
    req: HttpRequest,
    res: HttpResponse,
    token: string,
    host: Host,
    onUnknown: () => void,
  ): Promise<void> {
    let answer: Uint8Array | undefined
    try {
      answer = await source.storedAnswer(token, host, clientAddress(req, settings.trustedProxies))
    } catch {
      // Already reported, for example as `storeFailed`.
      return reply(req, res, 503, 'cannot read the challenge answer')
    }
    if (answer) return sendAnswer(req, res, answer)
    if (isAnswered(res)) return
    try {
      onUnknown()
    } catch (thrown) {
      // Nothing above this call would catch the error of the fallback.
      warnUnhandled(thrown)
      reply(req, res, 500, 'the request failed')
    }
  }
}

/** The longest DNS name has 253 characters. */
const maxShownName = 253

function checkSettings(fallback: unknown, options: unknown): HandlerSettings {
  if (fallback !== undefined && typeof fallback !== 'function')
    throw new TypeError(
      'httpHandler: fallback must be a function of the request and the response. Options are the second argument.',
    )
  const rawOptions = plainObject<HttpHandlerOptions>('httpHandler: options', options, optionNames)
  const { redirectStatus = 302, httpsPort = 443, trustedProxies } = rawOptions
  return {
    fallback: fallback as HandlerSettings['fallback'],
    redirectStatus: oneOf('httpHandler: redirectStatus', redirectStatus, [301, 302, 303, 307, 308]),
    httpsPort: positiveInteger('httpHandler: httpsPort', httpsPort, 65_535),
    trustedProxies: optional('httpHandler: trustedProxies', trustedProxies, checkAddressList),
  }
}

function redirect(req: HttpRequest, res: HttpResponse, path: string, settings: HandlerSettings): void {
  const name = requestedName(req)
  const host = normalizeHost(name)
  if (host === undefined) {
    if (isRead(req) && isProbeName(name))
      return reply(req, res, 200, 'This server redirects to https. Use a DNS name as the host.')
    return reply(req, res, 400, 'missing or invalid Host header')
  }
  const { redirectStatus, httpsPort } = settings
  // 301, 302 and 303 turn other methods into GET (RFC 9110 section 15.4).
  const status = isRead(req) || redirectStatus === 307 ? redirectStatus : 308
  const authority = httpsPort === 443 ? host : `${host}:${httpsPort}`
  res.writeHead(status, { location: `https://${authority}${encodeBytes(path)}` })
  res.end()
}

/** Percent-encodes the bytes that cannot be in a URL. Node has decoded each of them to one character. */
const encodeBytes = (path: string): string =>
  path.replace(/[^\x21-\x7e]/g, (byte) => `%${(byte.charCodeAt(0) & 0xff).toString(16).padStart(2, '0')}`)

function sendAnswer(req: HttpRequest, res: HttpResponse, answer: Uint8Array): void {
  if (isAnswered(res)) return
  res.writeHead(200, { 'content-type': 'application/octet-stream', 'content-length': answer.byteLength })
  res.end(req.method === 'HEAD' ? undefined : answer)
}

function reply(req: HttpRequest, res: HttpResponse, status: number, message: string): void {
  if (isAnswered(res)) return
  res.writeHead(status, { 'content-type': 'text/plain; charset=utf-8' })
  res.end(req.method === 'HEAD' ? undefined : `${message}\n`)
}

const isRead = ({ method }: HttpRequest): boolean => method === 'GET' || method === 'HEAD'

/** Returns whether other code has answered, for example a middleware that limits the time. */
const isAnswered = (res: HttpResponse): boolean => res.headersSent || res.writableEnded
