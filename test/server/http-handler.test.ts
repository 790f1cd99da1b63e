import { once } from 'node:events'
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http'
import { connect } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { CertManager, type HttpFallback, type HttpHandlerOptions } from '../../src/index.js'
import { MemoryStore } from '../support/memory-store.js'
import { StillClock } from '../support/still-clock.js'
import { get, listen } from '../support/tls.js'

const closers: (() => void)[] = []
afterEach(() => {
  for (const close of closers.splice(0)) close()
})

async function start(fallback?: HttpFallback, options?: HttpHandlerOptions) {
  const store = new MemoryStore()
  const manager = new CertManager({
    cache: store,
    hostPolicy: ['a.example'],
    acme: { termsOfServiceAgreed: true },
  })
  const server = createServer(manager.httpHandler(fallback, options))
  const port = await listen(server)
  closers.push(
    () => server.closeAllConnections(),
    () => server.close(),
  )
  const refused: string[] = []
  manager.on('refused', ({ servername, reason }) => refused.push(`${servername} ${reason}`))
  const challenge = (token: string, options: { host?: string; method?: string } = {}) =>
    get(port, `/.well-known/acme-challenge/${token}`, { host: 'a.example', ...options })
  return { store, manager, port, challenge, refused }
}

test('returns the key authorization of a token that any machine has stored', async () => {
  const { store, challenge } = await start()
  store.values.set('tok_en-1+http-01', Buffer.from('tok_en-1.thumbprint'))
  expect(await challenge('tok_en-1')).toMatchObject({ status: 200, body: 'tok_en-1.thumbprint' })
  expect(await challenge('tok_en-1', { host: 'A.example:80' })).toMatchObject({ status: 200 })
  expect(await challenge('tok_en-1', { method: 'HEAD' })).toMatchObject({ status: 200, body: '' })
  expect(await challenge('tok_en-1?x=y')).toMatchObject({ status: 200 })
  expect(await challenge('another')).toMatchObject({ status: 404 })
})

test.each(['GET', 'HEAD'])('%s returns the type and length of a key authorization', async (method) => {
  const { store, port } = await start()
  store.values.set('token+http-01', Buffer.from('token.thumbprint'))
  const path = '/.well-known/acme-challenge/token'
  const req = request({ port, host: '127.0.0.1', path, method, agent: false, headers: { host: 'a.example' } })
  const [res] = await once(req.end(), 'response')
  res.resume()
  expect(res.headers).toMatchObject({ 'content-type': 'application/octet-stream', 'content-length': '16' })
})

test('hosts outside the policy and invalid tokens cause no request to the store', async () => {
  const { store, challenge, port, refused } = await start()
  expect(await challenge('token', { host: 'evil.example' })).toMatchObject({ status: 404 })
  for (const host of ['localhost', '192.0.2.1', '*', 'a.example.evil']) {
    expect(await challenge('token', { host })).toMatchObject({ status: 404 })
  }
  // hostile/challenges tests hundreds of odd paths.
  for (const path of ['', '../a.example', 'a+http-01', 'x'.repeat(129)]) {
    expect(await challenge(path)).toMatchObject({ status: 404 })
  }
  expect(await challenge('token', { method: 'POST' })).toMatchObject({ status: 405 })
  expect(store.take()).toEqual([])
  const invalid = ['localhost name', '192.0.2.1 name', '* name']
  expect(refused.splice(0)).toEqual(['evil.example policy', ...invalid, 'a.example.evil policy'])
  // Without any Host header, as HTTP/1.0 allows.
  const socket = connect(port, '127.0.0.1')
  socket.end('GET /.well-known/acme-challenge/token HTTP/1.0\r\n\r\n')
  let answer = ''
  for await (const chunk of socket) answer += chunk
  expect(answer).toMatch(/^HTTP\/1\.1 404/)
  expect(refused).toEqual([' name'])
})

test('returns 503, not 404, when the store fails', async () => {
  const { store, challenge } = await start()
  store.before = () => Promise.reject(new Error('down'))
  expect(await challenge('token')).toMatchObject({ status: 503 })
})

test('close ends a challenge that waits for the store with 503', async () => {
  const store = new MemoryStore()
  const manager = new CertManager({
    cache: store,
    hostPolicy: ['a.example'],
    acme: { termsOfServiceAgreed: true },
    clock: new StillClock(),
  })
  const server = createServer(manager.httpHandler())
  const port = await listen(server)
  closers.push(() => server.close())
  const reads: string[] = []
  store.before = (_, key) => {
    reads.push(key)
    return new Promise(() => {})
  }
  const response = get(port, '/.well-known/acme-challenge/token', { host: 'a.example' })
  await expect.poll(() => reads).toEqual(['token+http-01'])
  await manager.close()
  expect(await response).toMatchObject({ status: 503 })
})

test('leaves a response that other code has sent, such as a time-out, unchanged', async () => {
  const { store, manager } = await start()
  const warnings: string[] = []
  const listener = (warning: Error) => warnings.push(warning.message)
  process.on('warning', listener)
  let answer = () => {}
  store.before = () =>
    new Promise<void>((resolve) => {
      answer = resolve
    })
  const handler = manager.httpHandler()
  const server = createServer((req, res) => {
    handler(req, res)
    res.writeHead(504).end('too late')
  })
  const port = await listen(server)
  closers.push(() => server.close())
  expect(await get(port, '/.well-known/acme-challenge/token', { host: 'a.example' })).toMatchObject({
    status: 504,
  })
  answer()
  for (let i = 0; i < 10; i++) await new Promise(setImmediate)
  process.off('warning', listener)
  expect(warnings).toEqual([])
})

test('redirects other requests to https', async () => {
  const { port } = await start()
  const redirected = await get(port, '/path?query=1', { host: 'A.example:8080' })
  expect(redirected).toMatchObject({ status: 302, location: 'https://a.example/path?query=1' })
  expect(await get(port, '//evil.example/', { host: 'a.example' })).toMatchObject({
    location: 'https://a.example//evil.example/',
  })
  expect(await get(port, '/', { host: 'a.example', method: 'HEAD' })).toMatchObject({
    status: 302,
    location: 'https://a.example/',
  })
  expect(await get(port, '/', { host: 'evil\\.example' })).toMatchObject({ status: 400 })
})

test('a fallback handles all other requests', async () => {
  const { port } = await start((req, res) => void res.end(`fallback for ${req.url}`))
  expect(await get(port, '/x')).toMatchObject({ status: 200, body: 'fallback for /x' })
})

test('a fallback takes precedence over the next middleware', async () => {
  const { manager } = await start()
  const handled: string[] = []
  const handler = manager.httpHandler((req) => void handled.push(`fallback for ${req.url}`))
  handler({ url: '/x' } as IncomingMessage, {} as ServerResponse, () => handled.push('next'))
  expect(handled).toEqual(['fallback for /x'])
})

test('a fallback that is not a function throws a TypeError', () => {
  const manager = new CertManager({
    cache: new MemoryStore(),
    hostPolicy: ['a.example'],
    acme: { termsOfServiceAgreed: true },
  })
  expect(() => manager.httpHandler('/' as never)).toThrow(/fallback/)
})
