import * as http2 from 'node:http2'
import * as https from 'node:https'
import * as net from 'node:net'
import * as tls from 'node:tls'
import { afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { CertManager } from '../../src/index.js'
import { makeBundle } from '../support/certificates.js'
import { makeClientCa } from '../support/client-ca.js'
import { storedHosts } from '../support/stored-host.js'
import { listen, readGreeting } from '../support/tls.js'

type Credentials = { key: string | Buffer; cert: string }

let own: Awaited<ReturnType<typeof makeClientCa>>
let other: Awaited<ReturnType<typeof makeClientCa>>
let friend: Credentials
let stranger: Credentials

beforeAll(async () => {
  own = await makeClientCa('own CA')
  other = await makeClientCa('other CA')
  friend = await own.issue('friend', '0a')
  stranger = await other.issue('stranger', '0b')
})

const closers: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closers.splice(0)) await close()
})

async function startManager(): Promise<CertManager> {
  const { manager } = await storedHosts(['a.example', 'b.example'])
  closers.push(() => manager.close())
  return manager
}

async function open(server: net.Server): Promise<number> {
  closers.push(() => server.close())
  server.on('tlsClientError', () => {})
  return listen(server)
}

/** What the server finds out about its client; each server sends it. */
const report = (socket: tls.TLSSocket) =>
  JSON.stringify({
    authorized: socket.authorized,
    client: socket.getPeerCertificate()?.subject?.CN,
    reused: socket.isSessionReused(),
  })

/** Connects, and resolves with the server's report and a session; with the error's code if the server refuses. */
async function connect(port: number, options: tls.ConnectionOptions = {}) {
  const { data, session, error = 'closed' } = await readGreeting(port, options)
  return data === '' ? { refused: error } : { ...JSON.parse(data), session }
}
const refused = { refused: expect.stringMatching(/ALERT|ECONNRESET|closed/) }

const versions = ['TLSv1.2', 'TLSv1.3'] as const

/** Each kind of server, with the options of a TLS server; it sends its report as soon as a client is connected. */
const kinds: Record<string, (options: tls.TlsOptions) => net.Server> = {
  tls: (options) => tls.createServer(options, (socket) => socket.write(report(socket))),
  https: (options) =>
    https.createServer(options).on('secureConnection', (socket) => socket.write(report(socket))),
  http2: (options) =>
    http2
      .createSecureServer({ ...options, allowHTTP1: true } as http2.SecureServerOptions)
      .on('secureConnection', (socket) => socket.write(report(socket))),
  'tls.TLSSocket': (options) => {
    const secureContext = tls.createSecureContext(options)
    return net.createServer((raw) => {
      const socket = new tls.TLSSocket(raw, { ...options, isServer: true, secureContext })
      socket.on('error', () => {})
      // Without a server, Node neither verifies nor rejects.
      socket.on('secure', () => {
        const { verifyError } = (socket as unknown as { _handle: { verifyError(): Error | null } })._handle
        const error = verifyError.call((socket as unknown as { _handle: object })._handle)
        if (error && options.rejectUnauthorized !== false) return void socket.destroy()
        socket.authorized = !error
        socket.write(report(socket))
      })
    })
  },
}

describe.each(Object.entries(kinds))('%s verifies client certificates', (kind, createServer) => {
  test.each(versions)('against the CAs of tlsOptions(), with %s', async (maxVersion) => {
    const manager = await startManager()
    const options = { ...manager.tlsOptions({ ca: own.root }), requestCert: true }
    const port = await open(createServer(options))
    const first = await connect(port, { ...friend, maxVersion })
    expect(first).toMatchObject({ authorized: true, client: 'friend', reused: false })
    expect(await connect(port, { ...friend, maxVersion, servername: 'b.example' })).toMatchObject({
      authorized: true,
      client: 'friend',
    })
    const again = await connect(port, { maxVersion, session: first.session })
    expect(again).toMatchObject({ authorized: true, client: 'friend', reused: true })
    expect(await connect(port, { ...stranger, maxVersion })).toMatchObject(refused)
    expect(await connect(port, { maxVersion })).toMatchObject(refused)
  })

  test.each(versions)('and lets others in with rejectUnauthorized: false, %s', async (maxVersion) => {
    const manager = await startManager()
    const options = {
      ...manager.tlsOptions({ ca: [Buffer.from(own.root)] }),
      requestCert: true,
      rejectUnauthorized: false,
    }
    const port = await open(createServer(options))
    expect(await connect(port, { ...friend, maxVersion })).toMatchObject({ authorized: true })
    const unknown = await connect(port, { ...stranger, maxVersion })
    expect(unknown).toMatchObject({ authorized: false, client: 'stranger' })
    expect(await connect(port, { maxVersion, session: unknown.session })).toMatchObject({
      authorized: false,
      client: 'stranger',
      reused: true,
    })
    expect(await connect(port, { maxVersion })).toMatchObject({ authorized: false })
  })

  test('refuses handshakes without ca, and the event says why', async () => {
    const manager = await startManager()
    const failures: { host: string; error: Error }[] = []
    manager.on('handshakeFailed', (failure) => failures.push(failure))
    const port = await open(createServer({ ...manager.tlsOptions(), requestCert: true, ca: own.root }))
    expect(await connect(port, friend)).toMatchObject(refused)
    expect(failures).toMatchObject([
      {
        host: 'a.example',
        error: { message: expect.stringContaining('Pass the CAs to tlsOptions({ ca })') },
      },
    ])
  })

  test('refuses a client whose certificate is revoked', async () => {
    const manager = await startManager()
    const leaver = await own.issue('leaver', '0c')
    const crl = await own.revoke('0c')
    const port = await open(createServer({ ...manager.tlsOptions({ ca: own.root, crl }), requestCert: true }))
    expect(await connect(port, friend)).toMatchObject({ authorized: true })
    expect(await connect(port, leaver)).toMatchObject(refused)
  })

  test(`does not ask for a certificate without requestCert (${kind})`, async () => {
    const manager = await startManager()
    const port = await open(createServer(manager.tlsOptions({ ca: own.root })))
    expect((await connect(port, friend)).client).toBeUndefined()
  })
})

describe.each(versions)('%s: a server that requests client certificates', (maxVersion) => {
  test('answers no tls-alpn-01 challenge, whose certificate has no CAs', async () => {
    const { manager, store } = await storedHosts(['a.example'])
    closers.push(() => manager.close())
    store.values.set('a.example+token', (await makeBundle({ host: 'a.example' })).data)
    let connections = 0
    const server = tls.createServer({ ...manager.tlsOptions({ ca: own.root }), requestCert: true }, () => {
      connections += 1
    })
    const port = await open(server)
    for (const client of [stranger, friend, {}])
      expect(await connect(port, { ...client, maxVersion, ALPNProtocols: ['acme-tls/1'] })).toMatchObject(
        refused,
      )
    expect(connections).toBe(0)
    expect(store.operations.join()).not.toContain('+token')
  })

  test('is refused if it has the callbacks of tlsOptions(), but not the CAs', async () => {
    const manager = await startManager()
    const { SNICallback, ALPNCallback } = manager.tlsOptions({ ca: own.root })
    for (const ca of [undefined, other.root]) {
      const options = { SNICallback, ALPNCallback, requestCert: true, ...(ca && { ca }) }
      const port = await open(kinds.tls?.(options) as net.Server)
      expect(await connect(port, { ...friend, maxVersion })).toMatchObject(refused)
      // Nor does a name without a certificate get the server's own context.
      expect(await connect(port, { ...friend, maxVersion, servername: 'evil.example' })).toMatchObject(
        refused,
      )
    }
    const same = { SNICallback, ALPNCallback, requestCert: true, ca: [own.root] }
    expect(
      await connect(await open(kinds.tls?.(same) as net.Server), { ...friend, maxVersion }),
    ).toMatchObject({
      client: 'friend',
    })
  })

  test('is refused for certificates of addContext()', async () => {
    const manager = await startManager()
    const failures: { error: Error }[] = []
    manager.on('handshakeFailed', (failure) => failures.push(failure))
    const server = kinds.tls?.({ ...manager.tlsOptions({ ca: own.root }), requestCert: true }) as tls.Server
    server.addContext('x.example', await own.issue('x.example', '0d'))
    const port = await open(server)
    expect(await connect(port, { ...stranger, maxVersion, servername: 'x.example' })).toMatchObject(refused)
    expect(failures).toMatchObject([
      { host: 'x.example', error: { message: expect.stringContaining('addContext()') } },
    ])
    expect(await connect(port, { ...friend, maxVersion })).toMatchObject({ client: 'friend' })
  })
})

test('servers with different CAs share a manager, and neither accepts the other’s clients', async () => {
  const manager = await startManager()
  const open2 = (ca: string) =>
    open(kinds.tls?.({ ...manager.tlsOptions({ ca }), requestCert: true }) as net.Server)
  const [first, second] = [await open2(own.root), await open2(other.root)]
  expect(await connect(first, friend)).toMatchObject({ client: 'friend' })
  expect(await connect(second, stranger)).toMatchObject({ client: 'stranger' })
  expect(await connect(first, stranger)).toMatchObject(refused)
  expect(await connect(second, friend)).toMatchObject(refused)
})

test('CAs that are written in different ways do not confuse servers of one manager', async () => {
  const manager = await startManager()
  for (const ca of [own.root, `# own CA\n${own.root}\n`]) {
    const port = await open(kinds.tls?.({ ...manager.tlsOptions({ ca }), requestCert: true }) as net.Server)
    expect(await connect(port, friend)).toMatchObject({ client: 'friend' })
  }
})

test('calls of tlsOptions() with equal CAs share contexts; a warm handshake makes none', async () => {
  const manager = await startManager()
  const contexts: unknown[] = []
  const ask = (options: tls.TlsOptions) =>
    new Promise<void>((resolve) =>
      options.SNICallback?.call({} as never, 'a.example', (_, context) => {
        contexts.push(context)
        resolve()
      }),
    )
  for (const ca of [own.root, [Buffer.from(own.root)], own.root]) await ask(manager.tlsOptions({ ca }))
  for (const ca of [other.root, undefined]) await ask(manager.tlsOptions(ca ? { ca } : {}))
  expect(contexts[1]).toBe(contexts[0])
  expect(contexts[2]).toBe(contexts[0])
  expect(new Set(contexts).size).toBe(3)
})
