import { createSecureServer } from 'node:http2'
import { createServer as createHttpsServer } from 'node:https'
import { text } from 'node:stream/consumers'
import { connect, createServer as createTlsServer } from 'node:tls'
import { expect, test } from 'vitest'
import { get } from '../support/tls.js'
import { host, useSite } from './site.js'

const site = useSite()

test('https serves its application after an order by tls-alpn-01', async () => {
  const server = createHttpsServer(site.manager.tlsOptions(), (_req, res) => res.end('hello'))
  const port = await site.serve(server)
  await site.expectOneOrder(port)
  expect(await site.get(port)).toBe('hello')
})

test('https serves its application after an order by http-01, and port 80 redirects to it', async () => {
  const port80 = await site.serveHttp(site.manager.httpHandler())
  const port = await site.serve(createHttpsServer(site.manager.tlsOptions(), (_req, res) => res.end('hello')))
  await site.expectOneOrder(port)
  expect(site.port443.connections).toBe(0)
  expect(await site.get(port)).toBe('hello')
  expect(await get(port80, '/page?a=1', { host })).toMatchObject({
    status: 302,
    location: `https://${host}/page?a=1`,
  })
})

test('http2 serves only HTTP/2', async () => {
  const options = site.manager.tlsOptions({ ALPNProtocols: ['h2'] })
  const port = await site.serve(createSecureServer(options, (_req, res) => res.end('hello')))
  await site.expectOneOrder(port, async () => ({ ALPNProtocols: ['h2'] }))
  expect(await site.getHttp2(port)).toBe('hello')
})

test('http2 with allowHTTP1 serves HTTP/2 and HTTP/1.1', async () => {
  const options = { allowHTTP1: true, ...site.manager.tlsOptions() }
  const server = createSecureServer(options, (req, res) => void res.end(`hello over ${req.httpVersion}`))
  const port = await site.serve(server)
  await site.expectOneOrder(port)
  expect(await site.getHttp2(port)).toBe('hello over 2.0')
  expect(await site.get(port)).toBe('hello over 1.1')
})

test('tls serves a protocol of its own', async () => {
  const options = site.manager.tlsOptions({ ALPNProtocols: ['mqtt'] })
  const port = await site.serve(createTlsServer(options, (socket) => socket.end('hello')))
  await site.expectOneOrder(port)
  const socket = connect({ ...site.client, host: '127.0.0.1', port, ALPNProtocols: ['mqtt'] })
  expect(await text(socket)).toBe('hello')
  expect(socket.alpnProtocol).toBe('mqtt')
})
