import { getEventListeners } from 'node:events'
import type { IncomingHttpHeaders } from 'node:http'
import { Agent, createServer } from 'node:https'
import type { Socket } from 'node:net'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { send } from '../../src/acme/transport.js'
import { selfSignedCertificate } from '../../src/testing/index.js'
import { listen } from '../support/tls.js'
import { VirtualClock } from '../support/virtual-clock.js'

/** The server's behaviour for the first request on a connection. */
let onFirst: 'answer' | 'reset' | 'hang'
/** The server's answer to the first request on a connection. */
let answer: { status?: number; type?: string; body: string }
/** The headers of the last request. */
let headers: IncomingHttpHeaders
let requests: ('first' | 'later')[]
let close: () => void
let url: string
let request: () => ReturnType<typeof send>
let clock: VirtualClock
let signal: AbortSignal

beforeEach(async () => {
  onFirst = 'answer'
  answer = { body: 'answer' }
  requests = []
  const { certificate, privateKey } = await selfSignedCertificate()
  const used = new WeakSet<Socket>()
  const server = createServer({ cert: certificate, key: privateKey }, (req, res) => {
    const kind = used.has(req.socket) ? 'later' : 'first'
    used.add(req.socket)
    requests.push(kind)
    headers = req.headers
    if (kind === 'later' || onFirst === 'reset') req.socket.destroy()
    else if (onFirst === 'answer')
      res.writeHead(answer.status ?? 200, { 'content-type': answer.type ?? 'text/plain' }).end(answer.body)
  })
  url = `https://127.0.0.1:${await listen(server)}/`
  const agent = new Agent({ keepAlive: true, ca: certificate })
  clock = new VirtualClock()
  signal = new AbortController().signal
  request = () => send(url, 'post', { body: '{}', agent, signal, clock })
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

test('a response of 1 MiB is read, and a larger one rejects', async () => {
  answer = { body: 'x'.repeat(1_024 * 1_024) }
  expect(await request()).toMatchObject({ data: answer.body })
  answer = { body: `${answer.body}x` }
  await expect(request()).rejects.toThrow(/larger than 1048576 bytes/)
})

test.each([
  ['application/json', '{"a":1}', { a: 1 }],
  ['application/problem+json; charset=utf-8', '{"a":1}', { a: 1 }],
  ['text/plain', '{"a":1}', '{"a":1}'],
])('the body of a response of type %s is parsed only if it is JSON', async (type, body, data) => {
  answer = { type, body }
  expect(await request()).toMatchObject({ data })
})

test('invalid JSON rejects, except in an error response, whose status is needed', async () => {
  answer = { type: 'application/json', body: '<html>' }
  await expect(request()).rejects.toMatchObject({ code: 'ERR_ISSUANCE_FAILED' })
  answer = { ...answer, status: 400 }
  expect(await request()).toMatchObject({ status: 400, data: '<html>' })
})
