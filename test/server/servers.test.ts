import { once } from 'node:events'
import { createServer as createHttpServer } from 'node:http'
import * as http2 from 'node:http2'
import * as https from 'node:https'
import * as net from 'node:net'
import * as tls from 'node:tls'
import express from 'express'
import fastify from 'fastify'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { CertManager } from '../../src/index.js'
import { TestCa } from '../../src/testing/index.js'
import { makeBundle } from '../support/certificates.js'
import { type Gate, openGate } from '../support/gate.js'
import { MemoryStore } from '../support/memory-store.js'
import { get, handshake, listen } from '../support/tls.js'

let ca: TestCa
let manager: CertManager
let tlsGate: Gate
let httpGate: Gate
const closers: (() => unknown)[] = []

beforeEach(async () => {
  tlsGate = await openGate()
  httpGate = await openGate()
  ca = await TestCa.start({ tlsPort: tlsGate.port, httpPort: httpGate.port })
  manager = new CertManager({
    cache: new MemoryStore(),
    hostPolicy: ['a.example'],
    acme: { termsOfServiceAgreed: true, directoryUrl: ca.directoryUrl, ca: ca.endpointCertificate },
  })
})
afterEach(async () => {
  await manager.close()
  for (const close of closers.splice(0)) await close()
  for (const part of [ca, tlsGate, httpGate]) await part.close()
})

/** Listens, receives the CA's tls-alpn-01 validations, and obtains the certificate. */
async function serve(server: tls.Server): Promise<number> {
  const port = await listen(server)
  closers.push(() => server.close())
  tlsGate.target = port
  await manager.ensure(['a.example'])
  return port
}

const negotiated = async (port: number, ALPNProtocols?: string[]) => {
  const { alpn, authorized } = await handshake(port, 'a.example', {
    ca: ca.rootCertificate,
    rejectUnauthorized: true,
    ...(ALPNProtocols && { ALPNProtocols }),
  })
  expect(authorized).toBe(true)
  return alpn
}

const noProtocol = { code: expect.stringMatching(/NO_APPLICATION_PROTOCOL/i) }

/** Requests `/` over TLS with the given protocol and returns the body. */
async function fetchOverTls(port: number, protocol: 'h2' | 'http/1.1') {
  const options = { host: '127.0.0.1', port, servername: 'a.example', ca: ca.rootCertificate }
  if (protocol === 'http/1.1') {
    return new Promise<string>((resolve, reject) => {
      const headers = { host: 'a.example' }
      const req = https.get({ ...options, path: '/', agent: false, headers }, async (res) => {
        let body = ''
        for await (const chunk of res) body += chunk
        resolve(body)
      })
      req.on('error', reject)
    })
  }
  const session = http2.connect(`https://a.example:${port}`, { ...options, lookup: undefined } as never)
  const stream = session.request({ ':path': '/' })
  let body = ''
  for await (const chunk of stream) body += chunk
  session.close()
  return body
}

describe('ALPN negotiates the same protocol as without the manager', () => {
  test('https negotiates only http/1.1', async () => {
    const port = await serve(https.createServer(manager.tlsOptions(), (_req, res) => res.end('hello')))
    expect(await negotiated(port)).toBe(false)
    expect(await negotiated(port, ['h2', 'http/1.1'])).toBe('http/1.1')
    await expect(negotiated(port, ['h2'])).rejects.toMatchObject(noProtocol)
    expect(await fetchOverTls(port, 'http/1.1')).toBe('hello')
  })

  test('http2 with allowHTTP1 negotiates both protocols and prefers h2', async () => {
    const options = { ...manager.tlsOptions(), allowHTTP1: true }
    const port = await serve(http2.createSecureServer(options, (_req, res) => res.end('hello')))
    expect(await negotiated(port, ['http/1.1', 'h2'])).toBe('h2')
    expect(await negotiated(port, ['http/1.1'])).toBe('http/1.1')
    expect(await fetchOverTls(port, 'h2')).toBe('hello')
    expect(await fetchOverTls(port, 'http/1.1')).toBe('hello')
  })

  test('plain tls negotiates the first protocol that the client offers', async () => {
    const port = await serve(tls.createServer(manager.tlsOptions(), (socket) => socket.end('hello')))
    expect(await negotiated(port)).toBe(false)
    expect(await negotiated(port, ['imap', 'pop3'])).toBe('imap')
  })

  test('a custom list of protocols is negotiated in the server’s order', async () => {
    const options = manager.tlsOptions({ ALPNProtocols: ['mine/2', 'mine/1'] })
    const port = await serve(tls.createServer(options, (socket) => socket.end('hello')))
    expect(await negotiated(port, ['mine/1', 'mine/2'])).toBe('mine/2')
    await expect(negotiated(port, ['yours'])).rejects.toMatchObject(noProtocol)
    expect(() => manager.tlsOptions({ ALPNProtocols: [] })).toThrow(/ALPNProtocols/)
    expect(() => manager.tlsOptions({ ALPNProtocols: 'h2' as never })).toThrow(/ALPNProtocols/)
    expect(() => manager.tlsOptions(null as never)).toThrow(/^tlsOptions: options must be/)
  })
})

test('rejects a server that requests client certificates, which would be verified against the wrong CAs', async () => {
  const server = https.createServer({ ...manager.tlsOptions(), requestCert: true, ca: ca.rootCertificate })
  const reasons: string[] = []
  const failed: object[] = []
  manager.on('handshakeFailed', (failure) => failed.push(failure))
  server.on('tlsClientError', ({ message }) => reasons.push(message))
  const port = await listen(server)
  closers.push(() => server.close())
  await expect(handshake(port, 'a.example')).rejects.toThrow()
  expect(failed).toMatchObject([
    { host: 'a.example', error: { message: expect.stringContaining('tlsOptions() has no ca') } },
  ])
  await expect
    .poll(() => reasons.join())
    .toMatch(/requests client certificates \(requestCert\), but tlsOptions\(\) has no ca/)
})

test('rejects a socket without a server that requests client certificates, and serves one that does not', async () => {
  const accept = async (requestCert: boolean) => {
    const reasons: string[] = []
    const server = net.createServer((raw) => {
      const options = { isServer: true, requestCert, ca: ca.rootCertificate, ...manager.tlsOptions() }
      new tls.TLSSocket(raw, options).on('error', ({ message }) => reasons.push(message))
    })
    closers.push(() => server.close())
    return { port: await listen(server), reasons }
  }
  const refusing = await accept(true)
  await expect(handshake(refusing.port, 'a.example')).rejects.toThrow()
  await expect
    .poll(() => refusing.reasons.join())
    .toMatch(/requests client certificates \(requestCert\), but tlsOptions\(\) has no ca/)
  const serving = await accept(false)
  tlsGate.target = serving.port
  expect(await handshake(serving.port, 'a.example')).toMatchObject({ names: 'DNS:a.example' })
})

describe('the manager in a framework', () => {
  test('serves Express on both ports', async () => {
    const app = express()
    app.use(manager.httpHandler())
    app.get('/', (_req, res) => void res.send('hello from express'))
    const http = createHttpServer(app)
    httpGate.target = await listen(http)
    closers.push(() => http.close())
    const port = await serve(https.createServer(manager.tlsOptions(), app))
    expect(await fetchOverTls(port, 'http/1.1')).toBe('hello from express')
    expect(await get(httpGate.target, '/', { host: 'a.example' })).toMatchObject({
      body: 'hello from express',
    })
    expect(ca.counts).toMatchObject({ validations: 1, certificates: 1 })
    expect(tlsGate.connections).toBe(0)
  })

  test('serves Fastify over http2, with http-01 challenges on another port', async () => {
    const app = fastify({ http2: true, https: { allowHTTP1: true, ...manager.tlsOptions() } })
    app.get('/', async () => 'hello from fastify')
    await app.listen({ host: '127.0.0.1', port: 0 })
    closers.push(() => app.close())
    const http = createHttpServer(manager.httpHandler())
    httpGate.target = await listen(http)
    closers.push(() => http.close())
    await manager.ensure(['a.example'])
    const { port } = app.server.address() as { port: number }
    expect(await fetchOverTls(port, 'h2')).toBe('hello from fastify')
    expect(await fetchOverTls(port, 'http/1.1')).toBe('hello from fastify')
    expect(tlsGate.connections).toBe(0)
  })
})

describe('tls-alpn-01', () => {
  test('a client that offers acme-tls/1 among other protocols is not treated as a CA', async () => {
    const port = await serve(https.createServer(manager.tlsOptions()))
    expect(await negotiated(port, ['acme-tls/1', 'http/1.1'])).toBe('http/1.1')
  })

  test('a validation of a host without an answer, or outside the policy, ends with a TLS alert', async () => {
    const port = await serve(https.createServer(manager.tlsOptions()))
    for (const host of ['a.example', 'evil.example']) {
      await expect(handshake(port, host, { ALPNProtocols: ['acme-tls/1'] })).rejects.toMatchObject({
        code: expect.stringMatching(/HANDSHAKE_FAILURE/),
      })
    }
  })

  test.each(['TLSv1.2', 'TLSv1.3'] as const)(
    'a resumed validation reaches no application, %s',
    async (maxVersion) => {
      let connections = 0
      const server = https.createServer(manager.tlsOptions())
      server.on('secureConnection', (socket) => {
        connections += 1
        socket.write('x')
      })
      const port = await serve(server)
      const options = {
        host: '127.0.0.1',
        port,
        servername: 'a.example',
        rejectUnauthorized: false,
        maxVersion,
      }
      const first = tls.connect(options)
      const [[session]] = await Promise.all([once(first, 'session'), once(first, 'data')])
      first.destroy()
      const second = tls.connect({ ...options, session, ALPNProtocols: ['acme-tls/1'] })
      let isResumed = false
      second.once('secureConnect', () => {
        isResumed = second.isSessionReused()
      })
      second.on('error', () => {})
      second.resume()
      await new Promise((resolve) => second.once('close', resolve))
      // Under TLS 1.2, no protocol is negotiated without a pending challenge.
      expect(isResumed).toBe(maxVersion === 'TLSv1.3')
      expect(connections).toBe(1)
    },
  )

  test.each(['TLSv1.2', 'TLSv1.3'] as const)(
    'without a pending challenge, a validation reaches no application behind a certificate of the server, %s',
    async (maxVersion) => {
      const { key, chain } = await makeBundle({ host: 'default.example' })
      const own = { key: key.export({ format: 'pem', type: 'sec1' }), cert: chain }
      let connections = 0
      const server = https.createServer({ ...own, ...manager.tlsOptions() })
      server.on('secureConnection', () => {
        connections += 1
      })
      const port = await serve(server)
      for (const host of ['a.example', 'evil.example', undefined])
        await expect(handshake(port, host, { ALPNProtocols: ['acme-tls/1'], maxVersion })).rejects.toThrow()
      expect(connections).toBe(0)
      expect(await handshake(port, 'a.example', { maxVersion })).toMatchObject({ names: 'DNS:a.example' })
    },
  )
})
