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

/** What to do with a request in place of forwarding it; `undefined` forwards it. */
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
 * A reverse proxy in front of a store that speaks HTTP: sees every request, and can break them.
 * @param certificate to speak TLS with its clients
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
    // No timer where there is nothing to wait for: tests stop the clock, and look for timers that are left.
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
    const onward = request(
      { hostname, port, path: req.url, method: req.method, headers: req.headers },
      (answer) => {
        if (fault === 'swallow the answer') return void answer.resume()
        if (!fault) {
          res.writeHead(answer.statusCode ?? 502, answer.headers)
          return void answer.pipe(res)
        }
        // Announces more than it sends, also where the store sends nothing.
        answer.resume().once('end', () => {
          const { 'transfer-encoding': _, ...headers } = answer.headers
          const length = Math.max(Number(headers['content-length'] ?? 0), 10)
          res.writeHead(answer.statusCode ?? 502, { ...headers, 'content-length': length })
          res.write('-')
          if (fault === 'reset in the body') res.socket?.resetAndDestroy()
          else if (fault === 'end too early') res.socket?.end()
        })
      },
    )
    onward.on('error', () => res.destroy())
    req.pipe(onward)
  }

  const http = certificate
    ? createHttpsServer({ cert: certificate.certificate, key: certificate.privateKey }, handle)
    : createServer(handle)
  // Whoever does not trust us.
  http.on('tlsClientError', (_, socket: Socket) => socket.destroy())
  // In front of it, as it has no way to let go of connections that are not in a request.
  const server = createTcpServer((socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
    socket.on('error', () => socket.destroy())
    if (greeting === undefined) http.emit('connection', socket)
    else socket.end(greeting)
  })
  await listenApart(server)
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
    /** As the store's endpoint. */
    endpoint: `http://127.0.0.1:${port}${upstream.pathname}`,
    port,
    requests,
    /** Requests since the last call, as `METHOD /container/blob`. */
    take: () => requests.splice(0),
    /** Requests under way. */
    get pending() {
      return pending.size
    },
    /** Each answer takes so much longer. */
    slow(ms: number) {
      delayMs = ms
    },
    fault(choose: (method: string, path: string) => Fault) {
      faultFor = choose
    },
    /** Ends every connection. */
    disconnect,
    /** From now on this text, whatever they want, is what new connections get; `undefined`: they are served. */
    greet(text: string | undefined) {
      greeting = text
    },
    /** Connections are refused, until `open`. */
    close,
    async open() {
      server.listen(port, '127.0.0.1')
      await once(server, 'listening')
    },
  }
}

/**
 * On a port that no system gives to whoever asks for any (IANA's begin at 49152, Linux's at 32768): a tap that was
 * closed for a while has to get it back.
 */
async function listenApart(server: TcpServer): Promise<void> {
  for (;;) {
    server.listen(10_000 + Math.floor(Math.random() * 20_000), '127.0.0.1')
    try {
      return void (await once(server, 'listening'))
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error
    }
  }
}
