import { createServer } from 'node:http'
import { onTestFinished } from 'vitest'
import { listen } from './tls.js'

interface Reply {
  readonly status: number
  readonly type: string
  readonly body: string
}

/** Starts a server in place of Blob Storage, which sends the given replies and closes with the test. */
export async function openEcho(replyTo: (url: string) => Reply) {
  const server = createServer((req, res) => {
    const { status, type, body } = replyTo(req.url ?? '')
    req.resume()
    res
      .writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(body), etag: '"1"' })
      .end(body)
  })
  const port = await listen(server)
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return `http://127.0.0.1:${port}/fleet`
}

const xml = 'application/xml'
/** Replies that repeat the requested URL, as proxies and debugging servers do. */
export const echoes: [string, (url: string) => Reply][] = [
  ['text', (url) => ({ status: 403, type: 'text/plain', body: `you may not GET ${url}` })],
  [
    'an error in XML',
    (url) => ({
      status: 400,
      type: xml,
      body: `<?xml version="1.0"?><Error><Code>InvalidUri</Code><Message>${url.replaceAll('&', '&amp;')}</Message></Error>`,
    }),
  ],
  [
    'a code',
    (url) => ({ status: 400, type: xml, body: `<Error><Code>${encodeURIComponent(url)}</Code></Error>` }),
  ],
  ['broken XML', (url) => ({ status: 200, type: xml, body: `<EnumerationResults><a>${url}` })],
  ['broken XML of an error', (url) => ({ status: 500, type: xml, body: `<Error><a>${url}` })],
  ['a page', (url) => ({ status: 200, type: 'text/html', body: `<html><body>${url}</body></html>` })],
  [
    'an encoded link',
    (url) => ({ status: 404, type: 'text/plain', body: `/login?to=${encodeURIComponent(url)}` }),
  ],
]
