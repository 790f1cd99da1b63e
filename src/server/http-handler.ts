import type { IncomingMessage, ServerResponse } from 'node:http'
import { isToken } from '../acme/challenges.js'
import { normalizeHost } from '../certificates/hostname.js'
import { callSafely } from '../util/safe-call.js'

type Next = (error?: unknown) => void

/** Handles a request that is no challenge: an `http.RequestListener`, an Express application, … */
export type HttpFallback = (req: IncomingMessage, res: ServerResponse) => void

/** As `http.createServer` and Express's `app.use` take it. */
export type HttpHandler = (req: IncomingMessage, res: ServerResponse, next?: Next) => void

const challengePath = '/.well-known/acme-challenge/'

interface HttpHandlerParts {
  /** The answer to a challenge that this process waits for. */
  pending(token: string, host: string): Uint8Array | undefined
  /** The store, behind host policy and deadline; rejects when it could not be told. `client`: an address. */
  fromStore(host: string, token: string, client: string): Promise<Uint8Array | undefined>
  readonly fallback: HttpFallback | undefined
}

/** Answers http-01 challenges (RFC 8555 section 8.3); everything else goes to the fallback, to `next`, or to https. */
export function createHttpHandler({ pending, fromStore, fallback }: HttpHandlerParts): HttpHandler {
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
    if (req.method !== 'GET' && req.method !== 'HEAD') return reply(res, 405, 'challenges are read with GET')
    if (!isToken(token) || host === undefined) return reply(res, 404, 'no such challenge')
    try {
      const answer = pending(token, host) ?? (await fromStore(host, token, req.socket.remoteAddress ?? ''))
      if (!answer) return reply(res, 404, 'no such challenge')
      if (res.headersSent || res.writableEnded) return
      res.writeHead(200, { 'content-type': 'application/octet-stream', 'content-length': answer.byteLength })
      res.end(req.method === 'HEAD' ? undefined : answer)
    } catch {
      // Reported where it happened: as storeFailed, or as refused by the policy.
      reply(res, 503, 'the challenge could not be looked up')
    }
  }
}

function redirect(req: IncomingMessage, res: ServerResponse): void {
  const host = hostOf(req)
  if (host === undefined) return reply(res, 400, 'no valid Host header')
  if (req.method !== 'GET' && req.method !== 'HEAD') return reply(res, 400, 'use https')
  // req.url of a proxy request is absolute; only its path may follow the host.
  const path = req.url?.startsWith('/') ? req.url : '/'
  res.writeHead(302, { location: `https://${host}${path}` }).end()
}

function reply(res: ServerResponse, status: number, message: string): void {
  if (res.headersSent || res.writableEnded) return // somebody else, such as a time-out, has answered
  res.writeHead(status, { 'content-type': 'text/plain; charset=utf-8' }).end(`${message}\n`)
}

const hostOf = (req: IncomingMessage) => normalizeHost((req.headers.host ?? '').replace(/:\d+$/, ''))
