import { once } from 'node:events'
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

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

/** A reverse proxy in front of a store that speaks HTTP: sees every request, and can break them. */
export async function openTap(target: string) {
  const requests: string[] = []
  let faultFor = (_method: string, _path: string): Fault => undefined
  const upstream = new URL(target)
  const pending = new Set<ServerResponse>()

  const server = createServer((req, res) => {
    const method = req.method ?? ''
    const path = decodeURIComponent((req.url ?? '').split('?', 1)[0] as string)
    requests.push(`${method} ${path.slice(upstream.pathname.length)}`)
    const fault = faultFor(method, path)
    pending.add(res)
    res.once('close', () => pending.delete(res))
    if (fault === 'reset') req.socket.destroy()
    else if (fault === 'hang') return
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
  })

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

  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    /** As the store's endpoint. */
    endpoint: `http://127.0.0.1:${port}${upstream.pathname}`,
    requests,
    /** Requests since the last call, as `METHOD /container/blob`. */
    take: () => requests.splice(0),
    /** Requests under way. */
    get pending() {
      return pending.size
    },
    fault(choose: (method: string, path: string) => Fault) {
      faultFor = choose
    },
    async close() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}
