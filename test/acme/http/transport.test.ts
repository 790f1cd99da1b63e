import { getEventListeners } from 'node:events'
import type { IncomingHttpHeaders } from 'node:http'
import { Agent, createServer } from 'node:https'
import type { Socket } from 'node:net'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type Method, send } from '../../../src/acme/http/transport.js'
import { selfSignedCertificate } from '../../../src/testing/index.js'
import { listen } from '../../support/tls.js'
import { VirtualClock } from '../../support/virtual-clock.js'

/** The server's behaviour for the first request on a connection. */
let onFirst: 'answer' | 'reset' | 'hang'
/** The server's answer to the first request on a connection. */
let answer: { status?: number; type?: string | null; body: string }
/** The redirects by path. A redirect does not use its connection up. */
let redirects: Record<string, { status: number; location: string }>
/** The paths requested. */
let requested: string[]
/** Called when a further request arrives on a connection, before the connection is closed. */
let onLater: () => void
/** The headers of the last request. */
let headers: IncomingHttpHeaders
let requests: ('first' | 'later')[]
let close: () => void
let url: string
let request: (method?: Method, signal?: AbortSignal) => ReturnType<typeof send>
let clock: VirtualClock
let signal: AbortSignal

beforeEach(async () => {
  onFirst = 'answer'
  answer = { body: 'answer' }
  redirects = {}
  requested = []
  onLater = () => {}
  requests = []
  const { certificate, privateKey } = await selfSignedCertificate()
  const used = new WeakSet<Socket>()
  const server = createServer({ cert: certificate, key: privateKey }, (req, res) => {
    requested.push(req.url ?? '')
    const redirect = redirects[req.url ?? '']
    if (redirect) return void res.writeHead(redirect.status, { location: redirect.location }).end()
    const kind = used.has(req.socket) ? 'later' : 'first'
    used.add(req.socket)
    requests.push(kind)
    headers = req.headers
    if (kind === 'later') onLater()
    const { status = 200, type = 'text/plain', body } = answer
    if (kind === 'later' || onFirst === 'reset') req.socket.destroy()
    else if (onFirst === 'answer')
      res.writeHead(status, type === null ? {} : { 'content-type': type }).end(body)
  })
  url = `https://127.0.0.1:${await listen(server)}/`
  const agent = new Agent({ keepAlive: true, ca: certificate })
  clock = new VirtualClock()
  signal = new AbortController().signal
  request = (method = 'post', end = signal) =>
    send(url, method, { body: method === 'post' ? '{}' : undefined, agent, signal: end, clock })
  close = () => {
    agent.destroy()
    server.closeAllConnections()
    server.close()
  }
})
afterEach(() => close())

test('a request that fails on a reused connection is retried on a new one', async () => {
  expect(await request()).toMatchObject({ status: 200, data: 'answer' })
  expect(await request()).toMatchObject({ status: 200, data: 'answer' })
  expect(requests).toEqual(['first', 'later', 'first'])
})

test('a request that fails on a new connection is not retried', async () => {
  onFirst = 'reset'
  await expect(request()).rejects.toMatchObject({
    code: 'ERR_ISSUANCE_FAILED',
    message: expect.stringMatching(/the request to .* failed: ECONNRESET/),
  })
  expect(requests).toEqual(['first'])
})

test('a request is retried only once', async () => {
  await request()
  onFirst = 'reset'
  await expect(request()).rejects.toThrow(/ECONNRESET/)
  expect(requests).toEqual(['first', 'later', 'first'])
})

test('a request leaves neither a timer nor a listener behind', async () => {
  await request()
  onFirst = 'reset'
  await expect(request()).rejects.toThrow()
  expect(clock.pending).toBe(0)
  expect(getEventListeners(signal, 'abort')).toEqual([])
})

test('a CA whose certificate is not trusted asks for acme.ca', async () => {
  const agent = new Agent()
  await expect(send(url, 'post', { body: '{}', agent, signal, clock })).rejects.toThrow(
    /failed: DEPTH_ZERO_SELF_SIGNED_CERT\. For a private CA, set acme\.ca to its root certificate\.$/,
  )
  agent.destroy()
})

test('a request has a user agent, the content type of ACME and its length', async () => {
  await request()
  expect(headers).toMatchObject({
    'user-agent': 'acme-cert-cache',
    'content-type': 'application/jose+json',
    'content-length': '2',
  })
})

test('a request that is not answered rejects after 30 s', async () => {
  onFirst = 'hang'
  const ended = expect(request()).rejects.toThrow(/no complete response within 30 s/)
  await expect.poll(() => requests).toHaveLength(1)
  clock.advance(29_999)
  expect(clock.pending).toBe(1)
  clock.advance(1)
  await ended
})

test('a request that is sent again on a new connection rejects 30 s after it was first sent', async () => {
  await request()
  onFirst = 'hang'
  onLater = () => clock.advance(20_000)
  const ended = expect(request()).rejects.toThrow(/no complete response within 30 s/)
  await expect.poll(() => requests).toEqual(['first', 'later', 'first'])
  clock.advance(9_999)
  expect(clock.pending).toBe(1)
  clock.advance(1)
  expect(clock.pending).toBe(0)
  await ended
})

test('a response of 1 MiB is read, and a larger one rejects', async () => {
  answer = { body: 'x'.repeat(1_024 * 1_024) }
  expect(await request()).toMatchObject({ data: answer.body })
  answer = { body: `${answer.body}x` }
  await expect(request()).rejects.toThrow(/larger than 1048576 bytes/)
})

test.each([
  ['application/json', '{"a":1}', { a: 1 }],
  ['Application/JSON; charset=utf-8', '{"a":1}', { a: 1 }],
  ['text/plain', '{"a":1}', { a: 1 }],
  ['text/plain', ' [1]', [1]],
  ['application/json', '<html>', '<html>'],
  ['application/json', '{"a":', '{"a":'],
  ['application/json', '', ''],
  ['application/pem-certificate-chain', '-----BEGIN', '-----BEGIN'],
])('a body is parsed if it is JSON, whatever its type: %s, %j', async (type, body, data) => {
  answer = { type, body }
  expect(await request()).toMatchObject({ status: 200, data })
})

test('a JSON body without a content type is parsed', async () => {
  answer = { type: null, body: '{"a":1}' }
  expect(await request()).toMatchObject({ data: { a: 1 } })
})

describe('a redirect', () => {
  const paths = () => requested.map((path) => path.replace(/^\//, ''))

  test.each([301, 302, 303, 307, 308])('with status %i is followed by GET and HEAD', async (status) => {
    redirects = { '/': { status, location: '/moved' }, '/moved': { status, location: 'again' } }
    expect(await request('get')).toMatchObject({ status: 200, url: `${url}again`, data: 'answer' })
    await request('head')
    expect(paths()).toEqual(['', 'moved', 'again', '', 'moved', 'again'])
  })

  test('of a signed request rejects, and names the target', async () => {
    redirects = { '/': { status: 308, location: '/moved' } }
    await expect(request('post')).rejects.toThrow(
      `the CA redirects ${url} to ${url}moved with status 308, but a signed request cannot be redirected.`,
    )
    expect(paths()).toEqual([''])
  })

  test('to another protocol than https rejects', async () => {
    redirects = { '/': { status: 302, location: 'http://127.0.0.1/' } }
    await expect(request('get')).rejects.toThrow(/to http:\/\/127\.0\.0\.1\/ .* which is not an https URL/)
  })

  test('rejects after five others', async () => {
    redirects = { '/': { status: 302, location: '/' } }
    await expect(request('get')).rejects.toMatchObject({ code: 'ERR_ISSUANCE_FAILED' })
    expect(requested).toHaveLength(6)
  })
})

test('a signal that aborts while a connection turns out to be stale ends the request: it is not sent again', async () => {
  await request()
  const controller = new AbortController()
  onLater = () => controller.abort(new Error('closed'))
  await expect(request('post', controller.signal)).rejects.toThrow('closed')
  expect(requests).toEqual(['first', 'later'])
})
