import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer as createHttpServer } from 'node:http'
import { createServer as createTcpServer } from 'node:net'
import { createServer, type TlsOptions } from 'node:tls'
import * as x509 from '@peculiar/x509'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { selfSignedCertificate } from '../../src/testing/index.js'
import { newOrder, portOf, post, registered, serveHttp01, startCa, useCa } from './acme-user.js'

const shared = useCa()

const host = 'example.test'
const ecdsaP256 = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }

/** Places an order; its challenge of the given type is pending. */
async function begin(type: 'http-01' | 'tls-alpn-01') {
  const { ca, user } = shared
  const { order, challenges, authzs } = await newOrder(user, [host], type)
  const challenge = challenges[0]!
  const keyAuthorization = await user.client.getChallengeKeyAuthorization(challenge)
  /** Completes the challenge, and returns the states of challenge, authorization and order. */
  async function complete() {
    await user.client.completeChallenge(challenge)
    await user.client.waitForValidStatus(challenge).catch(() => undefined)
    const [challengeReply, authzReply, orderReply] = [
      await post(user, challenge.url),
      await post(user, authzs[0]!.url),
      await post(user, order.url),
    ]
    const { type, detail } = (challengeReply.data.error ?? {}) as { type?: string; detail?: string }
    return {
      states: [challengeReply.data.status, authzReply.data.status, orderReply.data.status].join(' '),
      problem: type?.replace('urn:ietf:params:acme:error:', ''),
      detail,
    }
  }
  return { ca, challenge, keyAuthorization, complete }
}

/**
 * Sets validationTimeoutMs for one test, and replaces its timer: the validation times out when the test calls `expire`.
 * `durations` holds the milliseconds of each timer.
 */
function useTimeout(ms: number) {
  const { ca } = shared
  const { validationTimeoutMs } = ca
  ca.validationTimeoutMs = ms
  const controller = new AbortController()
  const durations: number[] = []
  const spy = vi.spyOn(AbortSignal, 'timeout').mockImplementation((duration) => {
    durations.push(duration)
    return controller.signal
  })
  onTestFinished(() => {
    spy.mockRestore()
    ca.validationTimeoutMs = validationTimeoutMs
  })
  return { durations, expire: () => controller.abort(new Error('timed out in the test')) }
}

function refusedAs(problem: string, detail = '') {
  return { states: 'invalid invalid invalid', problem, detail: expect.stringContaining(detail) }
}

const accepted = { states: 'valid valid ready', problem: undefined }

describe('http-01', () => {
  const path = (token: string) => `${host}/.well-known/acme-challenge/${token}`

  test('accepts the key authorization, and ignores white space after it', async () => {
    const validationsBefore = shared.ca.counts.validations
    const { ca, challenge, keyAuthorization, complete } = await begin('http-01')
    await serveHttp01(ca, new Map([[path(challenge.token), `${keyAuthorization}\r\n`]]))
    expect(await complete()).toEqual(accepted)
    expect(ca.counts.validations).toBe(validationsBefore + 1)
  })

  test('refuses another key authorization', async () => {
    const { ca, challenge, complete } = await begin('http-01')
    await serveHttp01(ca, new Map([[path(challenge.token), `${challenge.token}.else`]]))
    expect(await complete()).toEqual(refusedAs('incorrectResponse'))
  })

  test('refuses any status but 200', async () => {
    const { ca, complete } = await begin('http-01')
    await serveHttp01(ca, new Map())
    expect(await complete()).toEqual(refusedAs('unauthorized'))
  })

  test('fails on an endless body', async () => {
    const { ca, complete } = await begin('http-01')
    ca.httpPort = await portOf(
      createHttpServer((_, response) => {
        response.on('error', () => undefined)
        const writeMore = () => {
          while (!response.destroyed && response.write('x'.repeat(1000)));
        }
        response.on('drain', writeMore)
        writeMore()
      }),
    )
    expect(await complete()).toEqual(refusedAs('connection', 'more than 4096 bytes'))
  })

  test('fails after validationTimeoutMs when the server does not respond', async () => {
    const { ca, complete } = await begin('http-01')
    const timeout = useTimeout(4_321)
    ca.httpPort = await portOf(createHttpServer(timeout.expire))
    expect(await complete()).toEqual(refusedAs('connection', 'timed out in the test'))
    expect(timeout.durations).toEqual([4_321])
  })

  test('fails when nothing listens on the port', async () => {
    const { ca, complete } = await begin('http-01')
    const server = createTcpServer()
    ca.httpPort = await portOf(server)
    server.close()
    await once(server, 'close')
    expect(await complete()).toEqual(refusedAs('connection'))
  })
})

/** Creates the server options of a valid tls-alpn-01 responder, with the given defects. */
async function responder(
  keyAuthorization: string,
  {
    names = [host],
    critical = true,
    identifiers = [digestOf(keyAuthorization)],
    signedBy,
  }: { names?: string[]; critical?: boolean; identifiers?: Buffer[]; signedBy?: CryptoKey } = {},
): Promise<TlsOptions> {
  const keys = await crypto.subtle.generateKey(ecdsaP256, true, ['sign', 'verify'])
  const certificate = await x509.X509CertificateGenerator.create({
    subject: 'CN=responder',
    issuer: 'CN=responder',
    publicKey: keys.publicKey,
    signingKey: signedBy ?? keys.privateKey,
    signingAlgorithm: ecdsaP256,
    extensions: [
      new x509.SubjectAlternativeNameExtension(names.map((value) => ({ type: 'dns', value }))),
      ...identifiers.map((value) => new x509.Extension('1.3.6.1.5.5.7.1.31', critical, value)),
    ],
  })
  const pkcs8 = await crypto.subtle.exportKey('pkcs8', keys.privateKey)
  return {
    cert: certificate.toString('pem'),
    key: x509.PemConverter.encode(pkcs8, 'PRIVATE KEY'),
    ALPNProtocols: ['acme-tls/1'],
  }
}

function digestOf(keyAuthorization: string): Buffer {
  return Buffer.concat([Buffer.from([4, 32]), createHash('sha256').update(keyAuthorization).digest()])
}

type CryptoKey = Awaited<ReturnType<typeof crypto.subtle.importKey>>

describe('tls-alpn-01', () => {
  /** Completes a challenge with a server that has these options. */
  async function completeWith(options: (keyAuthorization: string) => Promise<TlsOptions>) {
    const { ca, keyAuthorization, complete } = await begin('tls-alpn-01')
    ca.tlsPort = await portOf(createServer(await options(keyAuthorization)))
    return complete()
  }

  test('accepts the certificate that RFC 8737 describes', async () => {
    expect(await completeWith((keyAuthorization) => responder(keyAuthorization))).toEqual(accepted)
  })

  test('connects with the name as SNI and acme-tls/1 as the only protocol', async () => {
    const { ca, keyAuthorization, complete } = await begin('tls-alpn-01')
    const hellos: unknown[] = []
    const { ALPNProtocols: _, ...options } = await responder(keyAuthorization)
    ca.tlsPort = await portOf(
      createServer({
        ...options,
        ALPNCallback: (hello: unknown) => {
          hellos.push(hello)
          return 'acme-tls/1'
        },
      } as TlsOptions),
    )
    expect(await complete()).toEqual(accepted)
    expect(hellos).toEqual([{ servername: host, protocols: ['acme-tls/1'] }])
  })

  test('refuses the digest of another key authorization', async () => {
    const refused = await completeWith((keyAuthorization) => responder(`${keyAuthorization}x`))
    expect(refused).toEqual(refusedAs('incorrectResponse'))
  })

  test('refuses a digest that is not a DER octet string', async () => {
    const refused = await completeWith((keyAuthorization) =>
      responder(keyAuthorization, { identifiers: [digestOf(keyAuthorization).subarray(2)] }),
    )
    expect(refused).toEqual(refusedAs('incorrectResponse'))
  })

  test('refuses a certificate with no acmeIdentifier, and with two', async () => {
    const without = await completeWith((keyAuthorization) => responder(keyAuthorization, { identifiers: [] }))
    const two = await completeWith((keyAuthorization) => {
      const digest = digestOf(keyAuthorization)
      return responder(keyAuthorization, { identifiers: [digest, digest] })
    })
    expect([without, two]).toEqual([refusedAs('incorrectResponse'), refusedAs('incorrectResponse')])
  })

  test('refuses an acmeIdentifier that is not critical', async () => {
    const refused = await completeWith((keyAuthorization) => responder(keyAuthorization, { critical: false }))
    expect(refused).toEqual(refusedAs('incorrectResponse'))
  })

  test('refuses another name, and a second name', async () => {
    const other = await completeWith((keyAuthorization) => responder(keyAuthorization, { names: ['b.test'] }))
    const second = await completeWith((keyAuthorization) =>
      responder(keyAuthorization, { names: [host, 'b.test'] }),
    )
    expect([other, second]).toEqual([refusedAs('incorrectResponse'), refusedAs('incorrectResponse')])
  })

  test('refuses a certificate that is not self-signed', async () => {
    const { privateKey } = await crypto.subtle.generateKey(ecdsaP256, true, ['sign', 'verify'])
    const refused = await completeWith((keyAuthorization) =>
      responder(keyAuthorization, { signedBy: privateKey }),
    )
    expect(refused).toEqual(refusedAs('incorrectResponse'))
  })

  test('refuses a server with a valid certificate that negotiates no protocol', async () => {
    const refused = await completeWith(async (keyAuthorization) => {
      const { ALPNProtocols: _, ...options } = await responder(keyAuthorization)
      return options
    })
    expect(refused).toEqual(refusedAs('unauthorized'))
  })

  test('fails on a server that supports only other protocols', async () => {
    const { certificate: cert, privateKey: key } = await selfSignedCertificate([host])
    const refused = await completeWith(async () => ({ cert, key, ALPNProtocols: ['h2', 'http/1.1'] }))
    expect(refused).toEqual(refusedAs('tls'))
  })

  test('fails on a server without TLS', async () => {
    const { ca, complete } = await begin('tls-alpn-01')
    ca.tlsPort = await portOf(createTcpServer((socket) => socket.end(randomBytes(100))))
    expect(await complete()).toEqual(refusedAs('tls'))
  })

  test('fails after validationTimeoutMs when the server does not respond', async () => {
    const { ca, complete } = await begin('tls-alpn-01')
    const timeout = useTimeout(4_321)
    // The ClientHello proves that the CA has connected.
    ca.tlsPort = await portOf(createTcpServer((socket) => socket.once('data', timeout.expire)))
    expect(await complete()).toEqual(refusedAs('tls', 'timed out in the test'))
    expect(timeout.durations).toEqual([4_321])
  })
})

test('one failed challenge invalidates the order, whose other challenges cannot be completed', async () => {
  const { ca, user } = shared
  const { order, authzs, challenges } = await newOrder(user, ['a.test', 'b.test'])
  await serveHttp01(ca, new Map())
  await user.client.completeChallenge(challenges[0]!)
  await expect(user.client.waitForValidStatus(order)).rejects.toThrow('status 404')
  const other = authzs[0]!.challenges.find(({ url }) => url !== challenges[0]!.url)!
  await expect(user.client.completeChallenge(other)).rejects.toThrow('The authorization is invalid')
})

test('a challenge that is completed twice is validated once', async () => {
  const ca = await startCa({ validationDelayMs: 2 ** 31 - 1 })
  const user = await registered(ca)
  const { challenges } = await newOrder(user, [host])
  const states = [
    await user.client.completeChallenge(challenges[0]!),
    await user.client.completeChallenge(challenges[0]!),
  ].map(({ status }) => status)
  expect(states).toEqual(['processing', 'processing'])
  expect(ca.counts.validations).toBe(1)
})
