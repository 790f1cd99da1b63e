import { createServer } from 'node:http'
import { connect } from 'node:net'
import fc from 'fast-check'
import { afterAll, beforeAll, expect } from 'vitest'
import { normalizeHost } from '../../src/certificates/hostname.js'
import { CertManager } from '../../src/index.js'
import { MemoryStore } from '../support/memory-store.js'
import { ShiftingClock } from '../support/shifting-clock.js'
import { listen } from '../support/tls.js'
import { damagedText, property } from './support.js'

const challengePath = '/.well-known/acme-challenge/'
const store = new MemoryStore()
const asked: string[] = []
const thrown: unknown[] = []
const clock = new ShiftingClock()
const manager = new CertManager({
  clock,
  cache: store,
  hostPolicy: (host) => {
    asked.push(host)
    return host.endsWith('.example')
  },
  acme: { termsOfServiceAgreed: true },
})
const handler = manager.httpHandler()
const server = createServer((req, res) => {
  try {
    handler(req, res)
  } catch (error) {
    // An uncaught exception would end the process.
    thrown.push(error)
    res.destroy()
  }
})
const warned = (warning: Error) => void thrown.push(warning)
let port: number

beforeAll(async () => {
  for (const key of ['a.example', 'a.example+token', 'acme_account+key', '+http-01', '..+http-01']) {
    store.values.set(key, Buffer.from('SECRET'))
  }
  for (const key of ['tok_en-1+http-01', 'x+http-01']) store.values.set(key, Buffer.from('KEY AUTHORIZATION'))
  process.on('warning', warned)
  port = await listen(server)
})
afterAll(async () => {
  process.off('warning', warned)
  server.closeAllConnections()
  server.close()
  await manager.close()
})

/** Returns the server's response to these bytes until it closes the connection. */
async function answerTo(raw: Uint8Array): Promise<string> {
  clock.set(60_000) // no client reaches the rate limit
  const socket = connect(port, '127.0.0.1')
  socket.end(raw)
  const chunks: Buffer[] = []
  try {
    for await (const chunk of socket) chunks.push(chunk as Buffer)
  } catch {
    // After a reset, the data received before it counts.
  }
  return Buffer.concat(chunks).toString('latin1')
}

const valid = `GET ${challengePath}tok_en-1 HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n`
const tokens = [
  ...[
    '/',
    '//',
    '..',
    '/../',
    '%2e%2e',
    '%2f',
    '\\',
    '+',
    '+http-01',
    '?',
    '#',
    '\u0000',
    '\r\n',
    '\t',
    '\f',
    '\x7f',
  ],
  ...[
    'http://evil.example',
    '@evil.example',
    ':80',
    'ü',
    ' ',
    'a.example',
    'acme_account+key',
    challengePath,
  ],
  ...['GET ', 'HEAD ', 'POST ', 'OPTIONS * ', 'CONNECT ', 'HTTP/1.0', 'Host: b.example\r\n', 'x'.repeat(300)],
  ...[
    'Transfer-Encoding: chunked\r\n',
    'Content-Length: 5\r\n',
    'Expect: 100-continue\r\n',
    'Upgrade: h2c\r\n',
    valid,
  ],
]
const token = fc.constantFrom(...tokens)
const odd = fc.oneof(token, fc.string({ unit: 'binary', maxLength: 8 }), fc.string({ maxLength: 8 }))
/** Parts of paths that Node’s HTTP parser accepts. */
const pathPart = fc.constantFrom(
  ...[
    '/',
    '//',
    '..',
    '/../',
    '%2e%2e',
    '%2f',
    '%00',
    '\\',
    '+',
    '+http-01',
    '?',
    '?a',
    ';',
    ':',
    '@evil.example',
    '~',
  ],
  ...[
    'http://evil.example',
    'a.example',
    'acme_account+key',
    challengePath,
    'tok_en-1',
    'x',
    'x'.repeat(256),
    '\u00ff',
  ],
)
const path = fc.array(fc.oneof({ weight: 9, arbitrary: pathPart }, { weight: 1, arbitrary: odd }), {
  maxLength: 4,
})
const hosts = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.constantFrom('a.example', 'A.Example.:443', 'xn--mnchen-3ya.example', 'b.test'),
  },
  fc.constantFrom('', '[::1]:80', '127.0.0.1', 'a.example:evil', 'evil.example@a.example', '0x7f.1'),
  odd.map((part) => `a.example${part}`),
  fc.webAuthority({ withPort: true, withUserInfo: true }),
)
/** Well-formed requests with odd parts. */
const wellFormed = fc
  .record({
    method: fc.constantFrom('GET', 'GET', 'HEAD', 'POST', 'OPTIONS', 'DELETE'),
    path: fc.oneof(
      path.map((parts) => challengePath + parts.join('')),
      path.map((parts) => `/${parts.join('')}`),
      fc.constantFrom(
        '*',
        'a.example:80',
        `http://a.example${challengePath}x`,
        `//a.example${challengePath}x`,
      ),
      fc.webPath().map((text) => `/${text}`),
      fc.webUrl(),
    ),
    version: fc.constantFrom('1.1', '1.0'),
    host: hosts,
  })
  .map(({ method, path, version, host }) => `${method} ${path} HTTP/${version}\r\nHost: ${host}\r\n\r\n`)
const requests = fc.oneof(
  { weight: 2, arbitrary: damagedText(valid, tokens) },
  {
    weight: 1,
    arbitrary: damagedText(valid.replace('GET', 'HEAD').replace('a.example', 'A.example:8080'), tokens),
  },
  { weight: 9, arbitrary: wellFormed },
)

property(
  'any bytes sent to port 80 result in challenge answers and redirects only',
  600,
  requests,
  async (request) => {
    store.take()
    asked.length = 0
    const sent = Buffer.from(request, 'latin1')
    const answer = await answerTo(sent)
    expect(thrown).toEqual([])
    expect(answer).toMatch(/^(HTTP\/1\.1 (100|200|302|308|400|404|405|413|417|431) |$)/)
    expect(answer).not.toContain('SECRET')
    for (const operation of store.take()) {
      const [, read] =
        /^get ([A-Za-z0-9_-]{1,128})\+http-01$/.exec(operation) ?? expect.unreachable(operation)
      expect(sent.toString('latin1')).toContain(challengePath + read)
    }
    for (const host of asked) expect(normalizeHost(host)).toBe(host)
    for (const [, location] of answer.matchAll(/^location: (.*)\r$/gim)) {
      const { protocol, hostname, username, port: portOfUrl } = new URL(location as string)
      expect([protocol, username, portOfUrl]).toEqual(['https:', '', ''])
      expect(normalizeHost(hostname)).toBe(hostname)
      // A host comes from the Host header, or from a target in absolute form, and never from a path.
      if (!/^host:.*evil|^\w+ [a-z][a-z0-9+.-]*:\/\/[^/?#]*evil/im.test(sent.toString('latin1')))
        expect(hostname).not.toContain('evil')
    }
  },
)

property(
  'a stored token is answered for every form of request',
  100,
  fc.record({
    method: fc.constantFrom('GET', 'HEAD'),
    host: fc.constantFrom('a.example', 'A.EXAMPLE', 'a.example.', 'a.example:80', 'xn--mnchen-3ya.example'),
    query: fc.constantFrom('', '?', '?a=/../b', '?tok?en'),
    headers: fc.array(fc.constantFrom('Accept: */*', 'X: \u00ff', 'Range: bytes=0-1', 'If-None-Match: *')),
  }),
  async ({ method, host, query, headers }) => {
    const lines = [
      `${method} ${challengePath}tok_en-1${query} HTTP/1.1`,
      `Host: ${host}`,
      ...headers,
      'Connection: close',
      '',
      '',
    ]
    const answer = await answerTo(Buffer.from(lines.join('\r\n'), 'latin1'))
    expect(answer).toMatch(/^HTTP\/1\.1 200 OK\r\n/)
    expect(answer.endsWith(`\r\n\r\n${method === 'GET' ? 'KEY AUTHORIZATION' : ''}`)).toBe(true)
    expect(thrown).toEqual([])
  },
)
