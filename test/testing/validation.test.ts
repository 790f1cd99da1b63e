import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer as createHttpServer } from 'node:http'
import { createServer as createTcpServer, type Socket } from 'node:net'
import { createServer, type TlsOptions } from 'node:tls'
import * as x509 from '@peculiar/x509'
import { describe, expect, test } from 'vitest'
import { selfSignedCertificate } from '../../src/testing/index.js'
import { httpAnswers, newOrder, portOf, post, registered, startCa } from './client.js'

const HOST = 'example.test'
const ECDSA = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }

/** An order whose only challenge of this type waits to be answered. */
async function begin(type: 'http-01' | 'tls-alpn-01') {
  const ca = await startCa()
  const t = await registered(ca)
  const { order, challenges, authzs } = await newOrder(t, [HOST], type)
  const challenge = challenges[0]!
  const keyAuthorization = await t.client.getChallengeKeyAuthorization(challenge)
  /** Has the challenge validated, and tells what became of it, its authorization and its order. */
  async function outcome() {
    await t.client.completeChallenge(challenge)
    await t.client.waitForValidStatus(challenge).catch(() => undefined)
    const [validated, authz, orderNow] = [
      await post(t, challenge.url),
      await post(t, authzs[0]!.url),
      await post(t, order.url),
    ]
    const { type, detail } = (validated.data.error ?? {}) as { type?: string; detail?: string }
    return {
      states: [validated.data.status, authz.data.status, orderNow.data.status].join(' '),
      problem: type?.replace('urn:ietf:params:acme:error:', ''),
      detail,
    }
  }
  return { ca, challenge, keyAuthorization, outcome }
}

function refusedAs(problem: string, detail = '') {
  return { states: 'invalid invalid invalid', problem, detail: expect.stringContaining(detail) }
}

const ACCEPTED = { states: 'valid valid ready', problem: undefined }

describe('http-01', () => {
  const path = (token: string) => `${HOST}/.well-known/acme-challenge/${token}`

  test('accepts the key authorization, with white space behind it', async () => {
    const { ca, challenge, keyAuthorization, outcome } = await begin('http-01')
    await httpAnswers(ca, new Map([[path(challenge.token), `${keyAuthorization}\r\n`]]))
    expect(await outcome()).toEqual(ACCEPTED)
    expect(ca.counts.validations).toBe(1)
  })

  test('refuses another key authorization', async () => {
    const { ca, challenge, outcome } = await begin('http-01')
    await httpAnswers(ca, new Map([[path(challenge.token), `${challenge.token}.else`]]))
    expect(await outcome()).toEqual(refusedAs('incorrectResponse'))
  })

  test('refuses any status but 200', async () => {
    const { ca, outcome } = await begin('http-01')
    await httpAnswers(ca, new Map())
    expect(await outcome()).toEqual(refusedAs('unauthorized'))
  })

  test('gives up on an answer without end', async () => {
    const { ca, outcome } = await begin('http-01')
    ca.httpPort = await portOf(
      createHttpServer((_, response) => {
        response.on('error', () => undefined)
        const more = () => {
          while (!response.destroyed && response.write('x'.repeat(1000)));
        }
        response.on('drain', more)
        more()
      }),
    )
    expect(await outcome()).toEqual(refusedAs('connection', 'more than 4096 bytes'))
  })

  test('gives up on a server that never answers', async () => {
    const { ca, outcome } = await begin('http-01')
    ca.validationTimeoutMs = 20
    ca.httpPort = await portOf(createHttpServer(() => undefined))
    expect(await outcome()).toEqual(refusedAs('connection'))
  })

  test('is refused where nobody listens', async () => {
    const { ca, outcome } = await begin('http-01')
    const server = createTcpServer()
    ca.httpPort = await portOf(server)
    server.close()
    await once(server, 'close')
    expect(await outcome()).toEqual(refusedAs('connection'))
  })
})

/** A tls-alpn-01 certificate that is right but for what is given. */
async function answerCertificate(
  keyAuthorization: string,
  {
    names = [HOST],
    critical = true,
    identifiers = [digestOf(keyAuthorization)],
    signedBy,
  }: { names?: string[]; critical?: boolean; identifiers?: Buffer[]; signedBy?: CryptoKey } = {},
): Promise<TlsOptions> {
  const keys = await crypto.subtle.generateKey(ECDSA, true, ['sign', 'verify'])
  const certificate = await x509.X509CertificateGenerator.create({
    subject: 'CN=answer',
    issuer: 'CN=answer',
    publicKey: keys.publicKey,
    signingKey: signedBy ?? keys.privateKey,
    signingAlgorithm: ECDSA,
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
  /** The outcome for a server with these options. */
  async function against(options: (keyAuthorization: string) => Promise<TlsOptions>) {
    const { ca, keyAuthorization, outcome } = await begin('tls-alpn-01')
    ca.tlsPort = await portOf(createServer(await options(keyAuthorization)))
    return outcome()
  }

  test('accepts the certificate that RFC 8737 describes', async () => {
    expect(await against((authorization) => answerCertificate(authorization))).toEqual(ACCEPTED)
  })

  test('asks with the name as SNI and acme-tls/1 as the only protocol', async () => {
    const { ca, keyAuthorization, outcome } = await begin('tls-alpn-01')
    const seen: unknown[] = []
    const { ALPNProtocols: _, ...options } = await answerCertificate(keyAuthorization)
    ca.tlsPort = await portOf(
      createServer({
        ...options,
        ALPNCallback: (hello: unknown) => {
          seen.push(hello)
          return 'acme-tls/1'
        },
      } as TlsOptions),
    )
    expect(await outcome()).toEqual(ACCEPTED)
    expect(seen).toEqual([{ servername: HOST, protocols: ['acme-tls/1'] }])
  })

  test('refuses the digest of another key authorization', async () => {
    const refused = await against((authorization) => answerCertificate(`${authorization}x`))
    expect(refused).toEqual(refusedAs('incorrectResponse'))
  })

  test('refuses a digest that is not a DER octet string', async () => {
    const refused = await against((authorization) =>
      answerCertificate(authorization, { identifiers: [digestOf(authorization).subarray(2)] }),
    )
    expect(refused).toEqual(refusedAs('incorrectResponse'))
  })

  test('refuses a certificate without acmeIdentifier, and one with two', async () => {
    const without = await against((authorization) => answerCertificate(authorization, { identifiers: [] }))
    const two = await against((authorization) => {
      const digest = digestOf(authorization)
      return answerCertificate(authorization, { identifiers: [digest, digest] })
    })
    expect([without, two]).toEqual([refusedAs('incorrectResponse'), refusedAs('incorrectResponse')])
  })

  test('refuses an acmeIdentifier that is not critical', async () => {
    const refused = await against((authorization) => answerCertificate(authorization, { critical: false }))
    expect(refused).toEqual(refusedAs('incorrectResponse'))
  })

  test('refuses another name, and a second name beside the right one', async () => {
    const other = await against((authorization) => answerCertificate(authorization, { names: ['b.test'] }))
    const second = await against((authorization) =>
      answerCertificate(authorization, { names: [HOST, 'b.test'] }),
    )
    expect([other, second]).toEqual([refusedAs('incorrectResponse'), refusedAs('incorrectResponse')])
  })

  test('refuses a certificate that is not self-signed', async () => {
    const { privateKey } = await crypto.subtle.generateKey(ECDSA, true, ['sign', 'verify'])
    const refused = await against((authorization) =>
      answerCertificate(authorization, { signedBy: privateKey }),
    )
    expect(refused).toEqual(refusedAs('incorrectResponse'))
  })

  test('refuses a server that negotiates no protocol, though its certificate is right', async () => {
    const refused = await against(async (authorization) => {
      const { ALPNProtocols: _, ...options } = await answerCertificate(authorization)
      return options
    })
    expect(refused).toEqual(refusedAs('unauthorized'))
  })

  test('is refused by a server that knows other protocols only', async () => {
    const { certificate: cert, privateKey: key } = await selfSignedCertificate([HOST])
    const refused = await against(async () => ({ cert, key, ALPNProtocols: ['h2', 'http/1.1'] }))
    expect(refused).toEqual(refusedAs('tls'))
  })

  test('is refused by a server that speaks no TLS', async () => {
    const { ca, outcome } = await begin('tls-alpn-01')
    ca.tlsPort = await portOf(createTcpServer((socket) => socket.end(randomBytes(100))))
    expect(await outcome()).toEqual(refusedAs('tls'))
  })

  test('gives up on a server that accepts and says nothing', async () => {
    const { ca, outcome } = await begin('tls-alpn-01')
    const sockets: Socket[] = []
    ca.validationTimeoutMs = 500 // enough to connect, on a busy machine too
    ca.tlsPort = await portOf(createTcpServer((socket) => sockets.push(socket)))
    expect(await outcome()).toEqual(refusedAs('tls'))
    for (const socket of sockets) socket.destroy()
  })
})

test('one failed name makes the whole order invalid, and its other challenges cannot be answered any more', async () => {
  const ca = await startCa()
  const t = await registered(ca)
  const { order, authzs, challenges } = await newOrder(t, ['a.test', 'b.test'])
  await httpAnswers(ca, new Map())
  await t.client.completeChallenge(challenges[0]!)
  await expect(t.client.waitForValidStatus(order)).rejects.toThrow('status 404')
  const other = authzs[0]!.challenges.find(({ url }) => url !== challenges[0]!.url)!
  await expect(t.client.completeChallenge(other)).rejects.toThrow('The authorization is invalid')
})

test('a challenge that is answered twice is validated once', async () => {
  const ca = await startCa({ validationDelayMs: 2 ** 31 - 1 })
  const t = await registered(ca)
  const { challenges } = await newOrder(t, [HOST])
  const states = [
    await t.client.completeChallenge(challenges[0]!),
    await t.client.completeChallenge(challenges[0]!),
  ].map(({ status }) => status)
  expect(states).toEqual(['processing', 'processing'])
  expect(ca.counts.validations).toBe(1)
})
