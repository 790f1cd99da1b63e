import { once } from 'node:events'
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import {
  type AddressInfo,
  createServer as createTcpServer,
  type Socket,
  type Server as TcpServer,
} from 'node:net'
import type { ServerCertificate } from '../../src/testing/index.js'

/** What happens to a request; `undefined` forwards it. */
export type Fault =
  | 'hang'
  | 'swallow the answer'
  | 'stall in the body'
  | 'reset in the body'
  | 'end too early'
  | 'reset'
  | { status: number; code: string; retryAfter?: number }
  | undefined

/**
 * Starts a reverse proxy in front of an HTTP store, which records every request and can break it.
 * @param certificate makes it an HTTPS server
 */
export async function openTap(target: string, certificate?: ServerCertificate) {
  const requests: string[] = []
  let faultFor = (_method: string, _path: string): Fault => undefined
  let delayMs = 0
  const upstream = new URL(target)
  const pending = new Set<ServerResponse>()

  const sockets = new Set<Socket>()
  let greeting: string | undefined

  function handle(req: IncomingMessage, res: ServerResponse) {
    const method = req.method ?? ''
    const path = decodeURIComponent((req.url ?? '').split('?', 1)[0] as string)
    requests.push(`${method} ${path.slice(upstream.pathname.length)}`)
    const fault = faultFor(method, path)
    pending.add(res)
    res.once('close', () => pending.delete(res))
    if (fault === 'reset') req.socket.destroy()
    else if (fault === 'hang') return
    // No timer without a delay: tests stop the clock and look for remaining timers.
    else if (typeof fault !== 'object' && delayMs > 0) setTimeout(() => forward(req, res, fault), delayMs)
    else if (typeof fault !== 'object') forward(req, res, fault)
    else {
      const body = `<?xml version="1.0"?><Error><Code>${fault.code}</Code><Message>made by the test</Message></Error>`
      res
        .writeHead(fault.status, {
          'x-ms-error-code': fault.code,
          'content-type': 'application/xml',
          ...(fault.retryAfter === undefined ? {} : { 'retry-after': String(fault.retryAfter) }),
        })
        .end(body)
    }
  }

  function forward(req: IncomingMessage, res: ServerResponse, fault: Fault) {
    const { hostname, port } = upstream
    const upstreamRequest = request(
      { hostname, port, path: req.url, method: req.method, headers: req.headers },
      (response) => {
        if (fault === 'swallow the answer') return void response.resume()
        if (!fault) {
          res.writeHead(response.statusCode ?? 502, response.headers)
          return void response.pipe(res)
        }
        // Announces more than it sends, even when the store sends an empty body.
        response.resume().once('end', () => {
          const { 'transfer-encoding': _, ...headers } = response.headers
          const length = Math.max(Number(headers['content-length'] ?? 0), 10)
          res.writeHead(response.statusCode ?? 502, { ...headers, 'content-length': length })
          res.write('-')
          if (fault === 'reset in the body') res.socket?.resetAndDestroy()
          else if (fault === 'end too early') res.socket?.end()
        })
      },
    )
    upstreamRequest.on('error', () => res.destroy())
    req.pipe(upstreamRequest)
  }

  const http = certificate
    ? createHttpsServer({ cert: certificate.certificate, key: certificate.privateKey }, handle)
    : createServer(handle)
  // A client that does not trust the certificate.
  http.on('tlsClientError', (_, socket: Socket) => socket.destroy())
  // A TCP server in front, because an HTTP server cannot close connections without a request.
  const server = createTcpServer((socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
    socket.on('error', () => socket.destroy())
    if (greeting === undefined) http.emit('connection', socket)
    else socket.end(greeting)
  })
  await listenOutsideEphemeralPorts(server)
  const { port } = server.address() as AddressInfo

  function disconnect() {
    for (const socket of sockets) socket.destroy()
  }

  async function close() {
    disconnect()
    if (!server.listening) return
    server.close()
    await once(server, 'close')
  }

  return {
    /** To use as the store's endpoint. */
    endpoint: `http://127.0.0.1:${port}${upstream.pathname}`,
    port,
    requests,
    /** Returns the requests since the last call, as `METHOD /container/blob`. */
    take: () => requests.splice(0),
    /** The number of pending requests. */
    get pending() {
      return pending.size
    },
    /** Delays every request by `ms`. */
    slow(ms: number) {
      delayMs = ms
    },
    fault(choose: (method: string, path: string) => Fault) {
      faultFor = choose
    },
    /** Destroys all connections. */
    disconnect,
    /** Sends this text on new connections instead of serving them; `undefined` serves them again. */
    greet(text: string | undefined) {
      greeting = text
    },
    /** Refuses connections until `open`. */
    close,
    async open() {
      server.listen(port, '127.0.0.1')
      await once(server, 'listening')
    },
  }
}

/**
 * Listens on a port outside the ephemeral range (IANA from 49152, Linux from 32768), so that a closed tap can open the
 * same port again.
 */
async function listenOutsideEphemeralPorts(server: TcpServer): Promise<void> {
  for (;;) {
    server.listen(10_000 + Math.floor(Math.random() * 20_000), '127.0.0.1')
    try {
      return void (await once(server, 'listening'))
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error
    }
  }
}
