import { once } from 'node:events'
import * as http from 'node:http'
import * as http2 from 'node:http2'
import { connect, type Server } from 'node:net'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createHttpHandler } from '../../src/server/http-handler.js'
import { type HttpRequest, isProbeName, requestedName, requestPath } from '../../src/server/http-request.js'
import { HttpAnswers } from '../support/http-answers.js'
import { get, listen } from '../support/tls.js'

let answers: HttpAnswers
const warnings: string[] = []
const onWarning = ({ message }: Error) => void warnings.push(message)
const closers: (() => void)[] = []
beforeEach(() => {
  answers = new HttpAnswers()
  answers.stored.set('token a.example', 'token.thumbprint')
  warnings.length = 0
  process.on('warning', onWarning)
})
afterEach(() => {
  process.off('warning', onWarning)
  for (const close of closers.splice(0).reverse()) close()
})

const challenge = '/.well-known/acme-challenge/token'
const handler = () => createHttpHandler(answers)

async function serve(server: Server): Promise<number> {
  closers.push(() => server.close())
  return listen(server)
}

/** Sends a request as it is, and resolves with the response: the status line, headers and body. */
async function send(port: number, ...lines: string[]): Promise<string> {
  const socket = connect(port, '127.0.0.1')
  socket.end([...lines, 'Connection: close', '', ''].join('\r\n'), 'latin1')
  let response = ''
  for await (const chunk of socket.setEncoding('latin1')) response += chunk
  return response
}

const request = (url: string, headers: HttpRequest['headers'] = {}, originalUrl?: unknown): HttpRequest => ({
  url,
  originalUrl,
  headers,
})

test.each<[string, HttpRequest, string, string]>([
  ['origin form', request('/p?q', { host: 'a.example' }), '/p?q', 'a.example'],
  ['a port', request('/', { host: 'a.example:8080' }), '/', 'a.example'],
  ['an empty port', request('/', { host: 'a.example:' }), '/', 'a.example'],
  ['two ports', request('/', { host: 'a.example:80:80' }), '/', 'a.example:80'],
  ['an IPv6 address', request('/', { host: '[::1]:80' }), '/', '[::1]'],
  ['no Host', request('/p'), '/p', ''],
  ['absolute form', request('http://b.example:80/p?q', { host: 'a.example' }), '/p?q', 'b.example'],
  ['absolute form in upper case', request('HTTP://B.example/P'), '/P', 'B.example'],
  ['absolute form without a path', request('https://b.example'), '/', 'b.example'],
  ['absolute form with a query alone', request('http://b.example?q=/x'), '/?q=/x', 'b.example'],
  ['absolute form with a user', request('http://a@b.example/p'), '/p', 'a@b.example'],
  ['absolute form without a host', request('http:///p', { host: 'a.example' }), '/p', ''],
  [
    'a path that looks absolute',
    request('//b.example/p', { host: 'a.example' }),
    '//b.example/p',
    'a.example',
  ],
  [
    'a URL within the path',
    request('/http://b.example/', { host: 'a.example' }),
    '/http://b.example/',
    'a.example',
  ],
  [
    'a URL within the query',
    request('/?u=http://b.example/', { host: 'a.example' }),
    '/?u=http://b.example/',
    'a.example',
  ],
  ['asterisk form', request('*', { host: 'a.example' }), '/', 'a.example'],
  ['HTTP/2', request('/p', { ':authority': 'a.example:443', host: 'b.example' }), '/p', 'a.example'],
  ['HTTP/2 with Host alone', request('/p', { host: 'b.example' }), '/p', 'b.example'],
  ['a mount in Express', request('/x', { host: 'a.example' }, '/mount/x'), '/mount/x', 'a.example'],
  ['a mount, absolute form', request('/x', {}, 'http://b.example/mount/x'), '/mount/x', 'b.example'],
  ['an originalUrl that is not a string', request('/x', {}, 5), '/x', ''],
])('the path and the host of a request with %s', (_, req, path, name) => {
  expect(requestPath(req)).toBe(path)
  expect(requestedName(req)).toBe(name)
})

test.each([
  ['', true],
  ['10.0.0.4', true],
  ['[::1]', true],
  ['[2001:db8::1]', true],
  ['localhost', true],
  ['web_1', true],
  ['a.example', false],
  ['*', false],
  ['a b', false],
  ['x'.repeat(64), false],
  ['0x7f.1', false],
])('health checks send the host %j: %s', (name, isProbe) => {
  expect(isProbeName(name)).toBe(isProbe)
})

describe('HTTP/1.1', () => {
  test('a challenge in absolute form is answered for the target’s host, whatever Host says', async () => {
    const port = await serve(http.createServer(handler()))
    const target = `http://a.example${challenge}`
    expect(await send(port, `GET ${target} HTTP/1.1`, 'Host: b.example')).toMatch(
      /^HTTP\/1.1 200 .*token\.thumbprint$/s,
    )
    expect(await send(port, `GET http://b.example${challenge} HTTP/1.1`, 'Host: a.example')).toMatch(
      /^HTTP\/1.1 404 /,
    )
    expect(answers.reads.map(([, host]) => host)).toEqual(['a.example', 'b.example'])
  })

  test('a request in absolute form is redirected to the target’s host and path', async () => {
    const port = await serve(http.createServer(handler()))
    expect(await send(port, 'GET http://b.example:80/p?q HTTP/1.1', 'Host: a.example')).toMatch(
      /^location: https:\/\/b\.example\/p\?q\r$/m,
    )
  })

  test('a health check without a Host, as in HTTP/1.0, is answered with 200', async () => {
    const port = await serve(http.createServer(handler()))
    expect(await send(port, 'GET / HTTP/1.0')).toMatch(/^HTTP\/1.1 200 /)
  })

  test('a Host with an empty port is valid', async () => {
    const port = await serve(http.createServer(handler()))
    expect(await send(port, `GET ${challenge} HTTP/1.1`, 'Host: a.example:')).toMatch(/^HTTP\/1.1 200 /)
    expect(await send(port, 'GET / HTTP/1.1', 'Host: a.example:')).toMatch(
      /^location: https:\/\/a\.example\/\r$/m,
    )
  })
})

describe('HTTP/2', () => {
  /** Serves the handler without TLS, and returns a function that sends a request. */
  async function open(listener = handler()) {
    const port = await serve(http2.createServer(listener))
    const session = http2.connect(`http://127.0.0.1:${port}`)
    closers.push(() => session.destroy())
    return async (headers: http2.OutgoingHttpHeaders) => {
      const stream = session.request(headers)
      const [response] = (await once(stream, 'response')) as [http2.IncomingHttpHeaders]
      let body = ''
      for await (const chunk of stream.setEncoding('utf8')) body += chunk
      return { status: response[':status'], location: response.location, body }
    }
  }

  test('a challenge is answered for the host in :authority, or in Host without it', async () => {
    const fetch = await open()
    const answered = { status: 200, body: 'token.thumbprint' }
    expect(await fetch({ ':path': challenge, ':authority': 'a.example:80' })).toMatchObject(answered)
    expect(await fetch({ ':path': challenge, host: 'a.example' })).toMatchObject(answered)
    expect(await fetch({ ':path': challenge, ':authority': 'b.example', host: 'a.example' })).toMatchObject({
      status: 404,
    })
    const head = { ':path': challenge, ':authority': 'a.example', ':method': 'HEAD' }
    expect(await fetch(head)).toMatchObject({ status: 200, body: '' })
  })

  test('other requests are redirected, and health checks are answered', async () => {
    const fetch = await open()
    const redirected = { status: 302, location: 'https://a.example/p?q' }
    expect(await fetch({ ':path': '/p?q', ':authority': 'a.example' })).toMatchObject(redirected)
    expect(await fetch({ ':path': '/', ':authority': '127.0.0.1:80' })).toMatchObject({ status: 200 })
    expect(await fetch({ ':path': '/', ':authority': '127.0.0.1:80', ':method': 'HEAD' })).toMatchObject({
      status: 200,
      body: '',
    })
    expect(await fetch({ ':path': '/', ':authority': 'a.example', ':method': 'POST' })).toMatchObject({
      status: 308,
    })
    // Bytes that a URL cannot contain. Node reads each as one character.
    expect(await fetch({ ':path': '/caf\u00c3\u00a9', ':authority': 'a.example' })).toMatchObject({
      location: 'https://a.example/caf%c3%a9',
    })
    expect(warnings).toEqual([])
  })

  test('a client that leaves while the store is read causes neither a warning nor a further call', async () => {
    let release = () => {}
    answers.before = () => new Promise<void>((resolve) => (release = resolve))
    const port = await serve(http2.createServer(handler()))
    const session = http2.connect(`http://127.0.0.1:${port}`)
    const stream = session.request({ ':path': challenge, ':authority': 'a.example' })
    stream.on('error', () => {})
    await expect.poll(() => answers.reads).toHaveLength(1)
    session.destroy()
    await once(session, 'close')
    for (let turns = 0; turns < 20; turns++) await new Promise(setImmediate)
    release()
    for (let turns = 0; turns < 20; turns++) await new Promise(setImmediate)
    expect(warnings).toEqual([])
  })
})

describe('a middleware mounted below a path, as in Express', () => {
  /** Serves the handler for paths below `mount`, without the mount in `req.url`. */
  async function open(mount: string) {
    const handle = createHttpHandler(answers)
    const listener: http.RequestListener = (req, res) => {
      const originalUrl = req.url ?? ''
      if (!originalUrl.startsWith(`${mount}/`)) return void res.end('not below the mount')
      Object.assign(req, { originalUrl, url: originalUrl.slice(mount.length) })
      handle(req, res, () => res.end(`next for ${req.url}`))
    }
    return serve(http.createServer(listener))
  }

  test.each(['/.well-known', '/.well-known/acme-challenge'])('answers challenges below %s', async (mount) => {
    const port = await open(mount)
    expect(await get(port, challenge, { host: 'a.example' })).toMatchObject({
      status: 200,
      body: 'token.thumbprint',
    })
  })

  test('passes other requests on unchanged', async () => {
    const port = await open('/app')
    expect(await get(port, '/app/x?y', { host: 'a.example' })).toMatchObject({ body: 'next for /x?y' })
    expect(await get(port, `/app${challenge}`, { host: 'a.example' })).toMatchObject({
      body: `next for ${challenge}`,
    })
    expect(answers.reads).toEqual([])
  })

  test('redirects to the whole path if there is no next middleware', async () => {
    const handle = createHttpHandler(answers)
    const listener: http.RequestListener = (req, res) => {
      Object.assign(req, { originalUrl: req.url, url: '/x' })
      handle(req, res)
    }
    const port = await serve(http.createServer(listener))
    expect(await get(port, '/app/x?y', { host: 'a.example' })).toMatchObject({
      location: 'https://a.example/app/x?y',
    })
  })
})
