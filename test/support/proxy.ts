import { createServer, request } from 'node:http'
import { onTestFinished } from 'vitest'
import { azurite } from './azure.js'
import { listen } from './tls.js'

/**
 * A proxy, as HTTP_PROXY names one, that leads to the tests' Azurite whatever host is asked for; ends with the test.
 * @param before awaited before a request goes on
 */
export async function openProxy(before: (method: string, path: string) => Promise<unknown>): Promise<string> {
  const { host, hostname, port } = new URL(azurite().endpoint)
  const server = createServer(async (req, res) => {
    const { method = '' } = req
    const { pathname, search } = new URL(req.url ?? '')
    await before(method, decodeURIComponent(pathname))
    const headers = { ...req.headers, host }
    const onward = request({ hostname, port, path: pathname + search, method, headers }, (answer) => {
      res.writeHead(answer.statusCode ?? 502, answer.headers)
      answer.pipe(res)
    })
    onward.on('error', () => res.destroy())
    req.pipe(onward)
  })
  const proxy = `http://127.0.0.1:${await listen(server)}`
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return proxy
}
