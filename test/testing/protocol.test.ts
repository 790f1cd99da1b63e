import { generateKeyPairSync } from 'node:crypto'
import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { request as httpsRequest, type RequestOptions } from 'node:https'
import * as acme from 'acme-client'
import { describe, expect, test } from 'vitest'
import type { TestCa } from '../../src/testing/index.js'
import {
  type AcmeUser,
  csrFor,
  newOrder,
  post,
  type Response,
  readyOrder,
  registered,
  useCa,
  userOf,
} from './acme-user.js'

const shared = useCa()
let rsaUser: Promise<AcmeUser> | undefined
/** Registers one account with an RSA key, which takes long to generate. */
const registerWithRsa = () => {
  rsaUser ??= acme.crypto
    .createPrivateRsaKey(2048)
    .then((accountKey) => registered(shared.ca, { accountKey }))
  return rsaUser
}

function problem(type: string, status: number) {
  return {
    status,
    headers: { 'content-type': 'application/problem+json' },
    data: { type: `urn:ietf:params:acme:error:${type}`, status, detail: expect.any(String) },
  }
}

/** Sends a request without acme-client, which would set the content type. */
async function send(url: string, ca: TestCa, options: RequestOptions): Promise<IncomingMessage> {
  const request = httpsRequest(url, { ...options, ca: ca.endpointCertificate, agent: false })
  // The connection may break before the body has been read.
  request.on('error', () => undefined)
  const [response] = await once(request.end(), 'response')
  return response.resume()
}

/** What a test needs to sign and send a newOrder request. */
async function prepareNewOrder() {
  const { ca, user } = shared
  const url = await user.http.getResourceUrl('newOrder')
  const payload = { identifiers: [{ type: 'dns', value: 'example.test' }] }
  const kid = user.client.getAccountUrl()
  const submit = (data: unknown): Promise<Response> => user.http.request(url, 'post', { data })
  return { ca, user, url, payload, kid, submit }
}

describe('a request', () => {
  test('is refused when its nonce was used before', async () => {
    const ordersBefore = shared.ca.counts.orders
    const { ca, user, url, payload, kid, submit } = await prepareNewOrder()
    const body = user.http.createSignedBody(url, payload, { kid, nonce: await user.http.getNonce() })
    expect((await submit(body)).status).toBe(201)
    expect(await submit(body)).toMatchObject(problem('badNonce', 400))
    expect(ca.counts.orders).toBe(ordersBefore + 1)
  })

  test('is refused when its nonce was never issued or is missing', async () => {
    const { user, url, payload, kid, submit } = await prepareNewOrder()
    const invented = user.http.createSignedBody(url, payload, { kid, nonce: 'invented' })
    const missing = user.http.createSignedBody(url, payload, { kid })
    expect(await submit(invented)).toMatchObject(problem('badNonce', 400))
    expect(await submit(missing)).toMatchObject(problem('badNonce', 400))
  })

  test('is refused when it was signed with another key or for another payload', async () => {
    const { ca, user, url, payload, kid, submit } = await prepareNewOrder()
    const nonce = await user.http.getNonce()
    const body = user.http.createSignedBody(url, payload, { kid, nonce })
    const stranger = (await registered(ca)).http.createSignedBody(url, payload, { kid, nonce })
    const other = user.http.createSignedBody(url, { identifiers: [] }, { kid, nonce })
    expect(await submit(stranger)).toMatchObject(problem('malformed', 400))
    expect(await submit({ ...body, payload: other.payload })).toMatchObject(problem('malformed', 400))
    expect((await submit(body)).status).toBe(201)
  })

  test('is refused when it was signed for another URL', async () => {
    const { user, url, payload, kid, submit } = await prepareNewOrder()
    const nonce = await user.http.getNonce()
    expect(await submit(user.http.createSignedBody(`${url}/`, payload, { kid, nonce }))).toMatchObject(
      problem('unauthorized', 401),
    )
  })

  test('is refused with a jwk where a kid belongs, with a kid for newAccount, and with an unknown kid', async () => {
    const { user, url, payload, kid, submit } = await prepareNewOrder()
    const jwk = user.http.createSignedBody(url, payload, { nonce: await user.http.getNonce() })
    const unknown = user.http.createSignedBody(url, payload, {
      kid: `${kid}0`,
      nonce: await user.http.getNonce(),
    })
    const newAccount = await post(user, await user.http.getResourceUrl('newAccount'), {})
    expect(await submit(jwk)).toMatchObject(problem('malformed', 400))
    expect(await submit(unknown)).toMatchObject(problem('accountDoesNotExist', 400))
    expect(newAccount).toMatchObject(problem('malformed', 400))
  })

  test('is refused with another content type, without JWS, and with GET', async () => {
    const { ca, user, url, submit } = await prepareNewOrder()
    const json = await send(url, ca, { method: 'POST', headers: { 'content-type': 'application/json' } })
    expect(json.statusCode).toBe(415)
    expect(await user.http.request(url, 'get')).toMatchObject(problem('malformed', 405))
    expect(await submit('{}')).toMatchObject(problem('malformed', 400))
    expect(await submit('nonsense')).toMatchObject(problem('malformed', 400))
  })

  test('is refused with an unsupported algorithm, and the reply lists the supported ones', async () => {
    const { user, url, payload, kid, submit } = await prepareNewOrder()
    const body = user.http.createSignedBody(url, payload, { kid, nonce: await user.http.getNonce() })
    const header = JSON.parse(Buffer.from(body.protected, 'base64url').toString())
    for (const alg of ['none', 'HS256', 'ES384', 'RS256']) {
      const tampered = Buffer.from(JSON.stringify({ ...header, alg })).toString('base64url')
      const answer = await submit({ ...body, protected: tampered })
      expect(answer).toMatchObject(problem('badSignatureAlgorithm', 400))
      expect(answer.data.algorithms).toEqual(['ES256', 'ES384', 'ES512', 'RS256'])
    }
  })

  test('is refused with the algorithm of another key type', async () => {
    const user = await registerWithRsa()
    const kid = user.client.getAccountUrl()
    const body = user.http.createSignedBody(kid, null, { kid, nonce: await user.http.getNonce() })
    const header = JSON.parse(Buffer.from(body.protected, 'base64url').toString())
    const tampered = Buffer.from(JSON.stringify({ ...header, alg: 'ES256' })).toString('base64url')
    const answer = await user.http.request(kid, 'post', { data: { ...body, protected: tampered } })
    expect(answer).toMatchObject(problem('badSignatureAlgorithm', 400))
  })

  test('is refused with a jwk and a kid, and with an unprotected header', async () => {
    const { user, url, payload, kid, submit } = await prepareNewOrder()
    const body = user.http.createSignedBody(url, payload, { kid, nonce: await user.http.getNonce() })
    const header = JSON.parse(Buffer.from(body.protected, 'base64url').toString())
    const both = Buffer.from(JSON.stringify({ ...header, jwk: {} })).toString('base64url')
    expect(await submit({ ...body, protected: both })).toMatchObject({
      data: { detail: expect.stringContaining('either jwk or kid') },
    })
    expect(await submit({ ...body, header: {} })).toMatchObject(problem('malformed', 400))
  })

  test('gets a reply with no-store, a nonce, and a link to the directory', async () => {
    const { ca, user } = await prepareNewOrder()
    const newNonce = await user.http.getResourceUrl('newNonce')
    const [head, get] = [await user.http.request(newNonce, 'head'), await user.http.request(newNonce, 'get')]
    const refused = await post(user, await user.http.getResourceUrl('newOrder'), {})
    expect([head.status, get.status, refused.status]).toEqual([200, 204, 400])
    for (const { headers } of [head, get, refused]) {
      expect(headers).toMatchObject({
        'cache-control': 'no-store',
        'replay-nonce': expect.stringMatching(/^[\w-]{22}$/),
        link: `<${ca.directoryUrl}>;rel="index"`,
      })
    }
  })

  test('is refused when it is longer than 64 KiB', async () => {
    const { submit } = await prepareNewOrder()
    expect(await submit('x'.repeat(64 * 1024 + 1))).toMatchObject(problem('malformed', 413))
  })

  test('with a payload is refused by read-only resources', async () => {
    const { user } = await prepareNewOrder()
    const { order, authzs } = await newOrder(user, ['a.test'])
    for (const url of [order.url, authzs[0]!.url]) {
      expect(await post(user, url, {})).toMatchObject(problem('malformed', 400))
    }
  })

  test('for an unknown resource gets a 404', async () => {
    const { ca, user } = await prepareNewOrder()
    const { origin } = new URL(ca.directoryUrl)
    expect(await user.http.request(`${origin}/nothing`, 'get')).toMatchObject(problem('malformed', 404))
    expect(await post(user, `${origin}/order/999`)).toMatchObject(problem('malformed', 404))
  })
})

test.each([
  ['P-256', { namedCurve: 'P-256' }],
  ['P-384', { namedCurve: 'P-384' }],
  ['P-521', { namedCurve: 'P-521' }],
] as const)('an account key may use the curve %s', async (_, options) => {
  const { ca } = shared
  const accountsBefore = ca.counts.accounts
  const { privateKey } = generateKeyPairSync('ec', options)
  const accountKey = privateKey.export({ type: 'pkcs8', format: 'pem' }) as string
  await registered(ca, { accountKey })
  expect(ca.counts.accounts).toBe(accountsBefore + 1)
})

test('an account key may be RSA of 2048 bits, not of 1024', async () => {
  await registerWithRsa()
  const weak = await userOf(shared.ca, { accountKey: await acme.crypto.createPrivateRsaKey(1024) })
  await expect(weak.client.createAccount({ termsOfServiceAgreed: true })).rejects.toThrow('2048 bits')
})

describe('newOrder', () => {
  test.each([
    ['rejectedIdentifier', 'dns', '*.example.test'],
    ['rejectedIdentifier', 'dns', 'localhost'],
    ['rejectedIdentifier', 'dns', '127.0.0.1'],
    ['rejectedIdentifier', 'dns', 'a_b.test'],
    ['rejectedIdentifier', 'dns', `${'a'.repeat(64)}.test`],
    ['rejectedIdentifier', 'dns', 'example.test.'],
    ['unsupportedIdentifier', 'ip', '127.0.0.1'],
    ['malformed', 'dns', undefined],
  ])('answers %s to %s %s', async (type, identifier, value) => {
    const ordersBefore = shared.ca.counts.orders
    const { ca, user, url } = await prepareNewOrder()
    const answer = await post(user, url, { identifiers: [{ type: identifier, value }] })
    expect(answer).toMatchObject(problem(type, 400))
    expect(ca.counts.orders).toBe(ordersBefore)
  })

  test('answers malformed without identifiers and with notAfter', async () => {
    const { user, url, payload } = await prepareNewOrder()
    expect(await post(user, url, { identifiers: [] })).toMatchObject(problem('malformed', 400))
    expect(await post(user, url, { ...payload, notAfter: '2030-01-01T00:00:00Z' })).toMatchObject(
      problem('malformed', 400),
    )
  })

  test('treats names that differ only in case as one name', async () => {
    const { ca, user } = await prepareNewOrder()
    const { authzs } = await newOrder(user, ['Twice.TEST', 'twice.test'])
    expect(authzs.map(({ identifier }) => identifier.value)).toEqual(['twice.test'])
    expect(ca.ordersFor('twice.test')).toBe(1)
  })
})

describe('finalize', () => {
  const finalize = (user: AcmeUser, order: acme.Order, csr: Buffer) =>
    post(user, order.finalize, { csr: acme.crypto.getPemBodyAsB64u(csr) })

  test('refuses a CSR for another name, for more names and for fewer, and leaves the order ready', async () => {
    const { ca, user } = await prepareNewOrder()
    const order = await readyOrder(ca, user, ['a.test', 'b.test'])
    for (const names of [['a.test', 'c.test'], ['a.test', 'b.test', 'c.test'], ['a.test']]) {
      const { csr } = await csrFor(names)
      expect(await finalize(user, order, csr)).toMatchObject(problem('badCSR', 400))
    }
    const right = await finalize(user, order, (await csrFor(['b.test', 'a.test'])).csr)
    expect([right.status, right.data.status]).toEqual([200, 'valid'])
  })

  test('refuses a CSR with an invalid signature, and bytes that are not a CSR', async () => {
    const { ca, user } = await prepareNewOrder()
    const order = await readyOrder(ca, user, ['a.test'])
    const der = Buffer.from(acme.crypto.getPemBodyAsB64u((await csrFor(['a.test'])).csr), 'base64url')
    der[der.length - 1]! ^= 1
    for (const csr of [der.toString('base64url'), 'bm9uc2Vuc2U']) {
      expect(await post(user, order.finalize, { csr })).toMatchObject(problem('badCSR', 400))
    }
  })

  test('refuses the account key as the key of the certificate', async () => {
    const { ca } = shared
    const accountKey = await acme.crypto.createPrivateEcdsaKey()
    const user = await registered(ca, { accountKey })
    const order = await readyOrder(ca, user, ['a.test'])
    const [, csr] = await acme.crypto.createCsr({ altNames: ['a.test'] }, accountKey)
    expect(await finalize(user, order, csr)).toMatchObject(problem('badCSR', 400))
  })

  test('answers orderNotReady before the order is ready and after it is valid', async () => {
    const issuedBefore = shared.ca.counts.certificates
    const { ca, user } = await prepareNewOrder()
    const { csr } = await csrFor(['a.test'])
    const { order: pending } = await newOrder(user, ['a.test'])
    expect(await finalize(user, pending, csr)).toMatchObject(problem('orderNotReady', 403))
    const order = await readyOrder(ca, user, ['a.test'])
    const twice = [await finalize(user, order, csr), await finalize(user, order, csr)]
    expect(twice.map(({ status }) => status)).toEqual([200, 403])
    expect(ca.counts.certificates).toBe(issuedBefore + 1)
  })

  test('issues one certificate for two concurrent requests', async () => {
    const issuedBefore = shared.ca.counts.certificates
    const { ca, user } = await prepareNewOrder()
    const { csr } = await csrFor(['a.test'])
    const order = await readyOrder(ca, user, ['a.test'])
    const both = await Promise.all([finalize(user, order, csr), finalize(user, order, csr)])
    expect(both.map(({ status }) => status).sort()).toEqual([200, 403])
    expect(ca.counts.certificates).toBe(issuedBefore + 1)
  })
})
