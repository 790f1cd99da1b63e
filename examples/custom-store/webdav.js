// A WebDAV folder in memory, for tests.
import { once } from 'node:events'
import http from 'node:http'
import { buffer } from 'node:stream/consumers'

/** Starts the server on a free port. */
export async function startWebDav() {
  /** @type {Map<string, Buffer>} */
  const files = new Map()
  const server = http.createServer(async (req, res) => {
    const path = req.url ?? ''
    const file = files.get(path)
    if (req.method === 'PUT') {
      files.set(path, await buffer(req))
      res.writeHead(201).end()
    } else if (!file) {
      res.writeHead(404).end()
    } else if (req.method === 'DELETE') {
      files.delete(path)
      res.writeHead(204).end()
    } else {
      res.end(file)
    }
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address())
  return {
    folder: `http://127.0.0.1:${port}/certificates/`,
    files,
    async close() {
      server.closeAllConnections()
      await once(server.close(), 'close')
    },
  }
}
