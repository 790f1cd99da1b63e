import * as http from 'node:http'
import * as http2 from 'node:http2'
import express from 'express'
import { expect, test } from 'vitest'
import { CertManager, type HttpFallback, type HttpHandler, type HttpHandlerOptions } from '../../src/index.js'
import { MemoryStore } from '../support/memory-store.js'

// The compiler is the test: each of these lines is how a user writes it.
test('httpHandler() has the types that servers and frameworks expect', () => {
  const acme = { termsOfServiceAgreed: true } as const
  const manager = new CertManager({
    cache: new MemoryStore(),
    hostPolicy: (host) => host === 'a.example',
    acme,
  })
  const handler = manager.httpHandler()
  http.createServer(handler)
  http2.createServer(handler)
  http2.createSecureServer({ allowHTTP1: true, ...manager.tlsOptions() }, handler)
  const stored: HttpHandler = manager.httpHandler()
  http.createServer(stored)

  const app = express()
  app.use(handler)
  app.use('/.well-known/acme-challenge', manager.httpHandler())
  http.createServer(manager.httpHandler(app))
  http.createServer(manager.httpHandler((req, res) => void res.end(req.socket.remoteAddress)))
  const inline = manager.httpHandler((req, res) => void res.writeHead(200, { 'x-url': req.url ?? '' }).end())
  http.createServer(inline)
  http.createServer(manager.httpHandler(async (_req, res) => void res.end()))

  const fallback: HttpFallback = (_req, res) => void res.end()
  http.createServer(manager.httpHandler(fallback))
  const maybe: HttpFallback | undefined = Math.random() < 2 ? fallback : undefined
  http.createServer(manager.httpHandler(maybe))
  const overHttp2 = (req: http2.Http2ServerRequest, res: http2.Http2ServerResponse) => res.end(req.authority)
  http2.createServer(manager.httpHandler(overHttp2))
  // @ts-expect-error: a fallback for HTTP/2 cannot answer requests of HTTP/1.1
  http.createServer(manager.httpHandler(overHttp2))

  const options: HttpHandlerOptions = { redirectStatus: 308, httpsPort: 8443, trustedProxies: ['10.0.0.0/8'] }
  http2.createServer(manager.httpHandler(undefined, options))
  http.createServer(manager.httpHandler(fallback, options))
  // @ts-expect-error: not a redirect that browsers follow
  expect(() => manager.httpHandler(undefined, { redirectStatus: 304 })).toThrow(TypeError)
  // @ts-expect-error: options are the second argument
  expect(() => manager.httpHandler(options)).toThrow(TypeError)
})
