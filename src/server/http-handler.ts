import type { IncomingMessage, ServerResponse } from 'node:http'
import { type Host, normalizeHost } from '../certificates/hostname.js'
import { isToken } from '../certificates/storage-layout.js'
import { callSafely } from '../util/safe-call.js'

/** Handles requests other than challenges: an `http.RequestListener`, an Express application, … */
export type HttpFallback = (req: IncomingMessage, res: ServerResponse) => void

/** A handler for `http.createServer`, or for Express's `app.use`. */
export type HttpHandler = (
  req: IncomingMessage,
  res: ServerResponse,
  next?: (error?: unknown) => void,
) => void

const challengePath = '/.well-known/acme-challenge/'

/** Provides the answers to http-01 challenges. */
export interface AnswerSource {
  /** Returns the answer to a challenge of an order in this process. */
  pendingAnswer(token: string, host: Host): Uint8Array | undefined
  /**
   * Resolves with the answer in the store; with `undefined` if there is none or the host policy refuses the host.
   * @param client the client's IP address
   */
  storedAnswer(token: string, host: Host, client: string): Promise<Uint8Array | undefined>
}

/**
 * Creates a handler that answers http-01 challenges (RFC 8555 section 8.3). Other requests go to the fallback, else to
 * `next`, else are redirected to https.
 */
export function createHttpHandler(source: AnswerSource, fallback: HttpFallback | undefined): HttpHandler {
  return (req, res, next) => {
    const path = (req.url ?? '').split('?', 1)[0] as string
    if (path.startsWith(challengePath))
      return callSafely(() => answerChallenge(path.slice(challengePath.length), req, res))
    if (fallback) return fallback(req, res)
    if (next) return next()
    redirect(req, res)
  }

  async function answerChallenge(token: string, req: IncomingMessage, res: ServerResponse): Promise<void> {
    const host = hostOf(req)
    if (req.method !== 'GET' && req.method !== 'HEAD') return reply(res, 405, 'use GET or HEAD')
    if (!isToken(token) || host === undefined) return reply(res, 404, 'no such challenge')
    try {
      const answer =
        source.pendingAnswer(token, host) ??
        (await source.storedAnswer(token, host, req.socket.remoteAddress ?? ''))
      if (!answer) return reply(res, 404, 'no such challenge')
      if (res.headersSent || res.writableEnded) return
      res.writeHead(200, { 'content-type': 'application/octet-stream', 'content-length': answer.byteLength })
      res.end(req.method === 'HEAD' ? undefined : answer)
    } catch {
      // Already reported, for example as `storeFailed`.
      reply(res, 503, 'cannot read the challenge answer')
    }
  }
}

function redirect(req: IncomingMessage, res: ServerResponse): void {
  const host = hostOf(req)
  if (host === undefined) return reply(res, 400, 'missing or invalid Host header')
  if (req.method !== 'GET' && req.method !== 'HEAD') return reply(res, 400, 'use https')
  // A request to a proxy has an absolute URL, which must not be appended to the host.
  const path = req.url?.startsWith('/') ? req.url : '/'
  res.writeHead(302, { location: `https://${host}${path}` }).end()
}

function reply(res: ServerResponse, status: number, message: string): void {
  if (res.headersSent || res.writableEnded) return // already answered, for example by a timeout middleware
  res.writeHead(status, { 'content-type': 'text/plain; charset=utf-8' }).end(`${message}\n`)
}

const hostOf = (req: IncomingMessage) => normalizeHost((req.headers.host ?? '').replace(/:\d+$/, ''))
