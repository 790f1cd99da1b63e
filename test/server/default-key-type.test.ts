import { KeyObject, type webcrypto } from 'node:crypto'
import { createServer as createTcpServer, type Server } from 'node:net'
import * as tls from 'node:tls'
import * as x509 from '@peculiar/x509'
import { afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { LiveCertificate } from '../../src/certificates/live-certificate.js'
import { ServerContexts } from '../../src/server/contexts/server-contexts.js'
import { tlsCallbacks } from '../../src/server/tls-callbacks.js'
import { makeBundle } from '../support/certificates.js'
import { storedHosts } from '../support/stored-host.js'
import { handshake, listen } from '../support/tls.js'

/** Node 24 serves the host's certificate whatever the default one is. */
const isAffected = Number.parseInt(process.versions.node, 10) < 24

type Made = Awaited<ReturnType<typeof makeBundle>>
const own = {} as Record<'ec' | 'rsa', Made>
const standard = {} as Record<'ec' | 'rsa', Made>
beforeAll(async () => {
  for (const keyType of ['ec', 'rsa'] as const) {
    own[keyType] = await makeBundle({ host: 'a.example', keyType })
    standard[keyType] = await makeBundle({ host: 'default.example', keyType })
  }
})

const warnings: string[] = []
const onWarning = ({ message }: Error) => warnings.push(message)
const servers: Server[] = []
process.on('warning', onWarning)
afterEach(() => {
  for (const server of servers.splice(0)) server.close()
  warnings.length = 0
})

const credentials = ({ data, chain }: Made) => ({ key: Buffer.from(data), cert: chain })

/** Returns the callbacks of a manager that serves this certificate, from memory or later. */
function callbacks(made: Made, isInMemory = true) {
  const live = { context: tls.createSecureContext(credentials(made)) } as LiveCertificate
  const source = {
    fromMemory: () => (isInMemory ? live : undefined),
    obtain: async () => live,
    pendingChallenge: () => undefined,
    storedChallenge: async () => undefined,
    onInvalidName: () => {},
    onMisconfigured: () => {},
  }
  return tlsCallbacks(source, { contexts: new ServerContexts(undefined) })
}

async function open(options: tls.TlsOptions) {
  const server = tls.createServer(options)
  server.on('tlsClientError', () => {})
  servers.push(server)
  return { server, port: await listen(server) }
}

/** Returns the names that clients get under TLS 1.2 and 1.3. */
async function namesServed(port: number, options: tls.ConnectionOptions = {}) {
  const names = (['TLSv1.2', 'TLSv1.3'] as const).map(async (version) => {
    const hello = { minVersion: version, maxVersion: version, ...options }
    return handshake(port, 'a.example', hello).then(
      ({ names }) => names,
      () => 'no handshake',
    )
  })
  return Promise.all(names)
}

const host = 'DNS:a.example'
const none = 'no handshake'

describe('a default certificate of another key type', () => {
  test.each([
    ['rsa', 'ec', [none, host]],
    ['ec', 'rsa', [none, none]],
    ['rsa', 'rsa', [host, host]],
    ['ec', 'ec', [host, host]],
  ] as const)(
    '%s, with %s for the hosts: the client gets the host’s certificate or none',
    async (a, b, before24) => {
      const expected = isAffected ? before24 : [host, host]
      for (const isInMemory of [true, false]) {
        const { port } = await open({ ...credentials(standard[a]), ...callbacks(own[b], isInMemory) })
        expect(await namesServed(port)).toEqual(expected)
      }
    },
  )

  test('the order of the signature algorithms decides under TLS 1.3', async () => {
    const { port } = await open({
      ...credentials(standard.rsa),
      honorCipherOrder: false,
      ...callbacks(own.ec),
    })
    const [, served] = await namesServed(port, { sigalgs: 'RSA-PSS+SHA256:ECDSA+SHA256' })
    expect(served).toBe(isAffected ? none : host)
    const [, other] = await namesServed(port, { sigalgs: 'ECDSA+SHA256:RSA-PSS+SHA256' })
    expect(other).toBe(host)
  })

  test('causes one warning per server, which says what to do', async () => {
    const shared = callbacks(own.ec)
    for (const _ of [1, 2]) {
      const { port } = await open({ ...credentials(standard.rsa), ...shared })
      await namesServed(port)
      await namesServed(port)
    }
    const { port } = await open(callbacks(own.ec))
    expect(await namesServed(port)).toEqual([host, host])
    expect(warnings).toHaveLength(isAffected ? 2 : 0)
    for (const warning of warnings)
      expect(warning).toMatch(
        /^acme-cert-cache: a certificate of the server itself .* Give .* \(keyType\), remove it, or use Node 24\.$/,
      )
  })

  test('is noticed on sockets without a server, and once it is replaced', async () => {
    const tcp = createTcpServer((raw) => {
      const socket = new tls.TLSSocket(raw, {
        isServer: true,
        ...credentials(standard.rsa),
        ...callbacks(own.ec),
      })
      socket.on('error', () => {})
    })
    servers.push(tcp)
    const [old] = await namesServed(await listen(tcp))
    expect(old).toBe(isAffected ? none : host)
    const { server, port } = await open(callbacks(own.ec))
    server.setSecureContext(credentials(standard.rsa))
    expect(await namesServed(port)).toEqual([isAffected ? none : host, host])
    server.setSecureContext(credentials(standard.ec))
    expect(await namesServed(port)).toEqual([host, host])
  })

  test.each(['TLSv1.2', 'TLSv1.3'] as const)(
    'beside one of the same type is noticed as well, %s',
    async (maxVersion) => {
      // OpenSSL shows the last one.
      const pairs = [credentials(standard.rsa), credentials(standard.ec)]
      const both = { key: pairs.map(({ key }) => key), cert: pairs.map(({ cert }) => cert) }
      const { port } = await open({ ...both, ...callbacks(own.ec) })
      // What this handshake finds out must not hide the other certificate.
      await handshake(port, 'a.example', { ALPNProtocols: ['acme-tls/1'] }).catch(() => undefined)
      const [served] = await namesServed(port, { maxVersion })
      expect(served).toBe(isAffected && maxVersion === 'TLSv1.2' ? none : host)
      expect(warnings).toHaveLength(isAffected ? 1 : 0)
    },
  )

  test.each(['TLSv1.2', 'TLSv1.3'] as const)('can be an Ed25519 key, %s', async (maxVersion) => {
    const { port } = await open({ ...(await makeEd25519()), ...callbacks(own.ec) })
    const [served] = await namesServed(port, { maxVersion })
    expect(served).toBe(isAffected && maxVersion === 'TLSv1.2' ? none : host)
  })

  test('is named by attach(), once, before any handshake', async () => {
    const { manager } = await storedHosts(['a.example'])
    const pair = credentials(standard.rsa)
    const { server, port } = await open({ ...pair, ...manager.tlsOptions() })
    for (const _ of [1, 2]) manager.attach(server)
    manager.attach((await open({ ...credentials(standard.ec), ...manager.tlsOptions() })).server)
    manager.attach((await open(manager.tlsOptions())).server)
    await expect.poll(() => warnings).toHaveLength(isAffected ? 1 : 0)
    expect(warnings.join()).toMatch(isAffected ? /key type of the manager \(keyType\)/ : /^$/)
    await namesServed(port)
    expect(warnings).toHaveLength(isAffected ? 1 : 0)
    await manager.close()
  })
})

/** A self-signed certificate with an Ed25519 key. */
async function makeEd25519() {
  const algorithm = { name: 'Ed25519' }
  const keys = (await crypto.subtle.generateKey(algorithm, true, [
    'sign',
    'verify',
  ])) as webcrypto.CryptoKeyPair
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    name: 'CN=default.example',
    keys,
    signingAlgorithm: algorithm,
    extensions: [new x509.SubjectAlternativeNameExtension([{ type: 'dns', value: 'default.example' }])],
  })
  return {
    key: KeyObject.from(keys.privateKey).export({ format: 'pem', type: 'pkcs8' }),
    cert: certificate.toString('pem'),
  }
}
