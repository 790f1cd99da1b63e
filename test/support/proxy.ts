import { createServer, request } from 'node:http'
import { onTestFinished } from 'vitest'
import { azurite } from './azure.js'
import { listen } from './tls.js'

/**
 * Starts an HTTP proxy for HTTP_PROXY that forwards requests for any host to Azurite. It closes with the test.
 * @param before awaited before each request is forwarded
 */
export async function openProxy(before: (method: string, path: string) => Promise<unknown>): Promise<string> {
  const { host, hostname, port } = new URL(azurite().endpoint)
  const server = createServer(async (req, res) => {
    const { method = '' } = req
    const { pathname, search } = new URL(req.url ?? '')
    await before(method, decodeURIComponent(pathname))
    const headers = { ...req.headers, host }
    const upstream = request({ hostname, port, path: pathname + search, method, headers }, (response) => {
      res.writeHead(response.statusCode ?? 502, response.headers)
      response.pipe(res)
    })
    upstream.on('error', () => res.destroy())
    req.pipe(upstream)
  })
  const proxy = `http://127.0.0.1:${await listen(server)}`
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return proxy
}
