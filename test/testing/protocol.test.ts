import { generateKeyPairSync } from 'node:crypto'
import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { request as httpsRequest, type RequestOptions } from 'node:https'
import * as acme from 'acme-client'
import { describe, expect, test } from 'vitest'
import type { TestCa } from '../../src/testing/index.js'
import { clientOf, csrFor, newOrder, post, type Response, readyOrder, registered, startCa } from './client.js'

function problem(type: string, status: number) {
  return {
    status,
    headers: { 'content-type': 'application/problem+json' },
    data: { type: `urn:ietf:params:acme:error:${type}`, status, detail: expect.any(String) },
  }
}

/** acme-client sets the content type itself. */
async function fetchOnce(url: string, ca: TestCa, options: RequestOptions): Promise<IncomingMessage> {
  const request = httpsRequest(url, { ...options, ca: ca.endpointCertificate, agent: false })
  // The CA closes with the test, which may be before all of the answer has come.
  request.on('error', () => undefined)
  const [response] = await once(request.end(), 'response')
  return response.resume()
}

/** A registered client and what it takes to send a newOrder request of one's own making. */
async function begin() {
  const ca = await startCa()
  const t = await registered(ca)
  const url = await t.http.getResourceUrl('newOrder')
  const payload = { identifiers: [{ type: 'dns', value: 'example.test' }] }
  const kid = t.client.getAccountUrl()
  const send = (data: unknown): Promise<Response> => t.http.request(url, 'post', { data })
  return { ca, t, url, payload, kid, send }
}

describe('a request', () => {
  test('is refused when its nonce was used before', async () => {
    const { ca, t, url, payload, kid, send } = await begin()
    const body = t.http.createSignedBody(url, payload, { kid, nonce: await t.http.getNonce() })
    expect((await send(body)).status).toBe(201)
    expect(await send(body)).toMatchObject(problem('badNonce', 400))
    expect(ca.counts.orders).toBe(1)
  })

  test('is refused when its nonce was never issued or is missing', async () => {
    const { t, url, payload, kid, send } = await begin()
    const invented = t.http.createSignedBody(url, payload, { kid, nonce: 'invented' })
    const missing = t.http.createSignedBody(url, payload, { kid })
    expect(await send(invented)).toMatchObject(problem('badNonce', 400))
    expect(await send(missing)).toMatchObject(problem('badNonce', 400))
  })

  test('is refused when its signature is of another key or for another payload', async () => {
    const { ca, t, url, payload, kid, send } = await begin()
    const nonce = await t.http.getNonce()
    const body = t.http.createSignedBody(url, payload, { kid, nonce })
    const stranger = (await registered(ca)).http.createSignedBody(url, payload, { kid, nonce })
    const other = t.http.createSignedBody(url, { identifiers: [] }, { kid, nonce })
    expect(await send(stranger)).toMatchObject(problem('malformed', 400))
    expect(await send({ ...body, payload: other.payload })).toMatchObject(problem('malformed', 400))
    expect((await send(body)).status).toBe(201)
  })

  test('is refused when it was signed for another URL', async () => {
    const { t, url, payload, kid, send } = await begin()
    const nonce = await t.http.getNonce()
    expect(await send(t.http.createSignedBody(`${url}/`, payload, { kid, nonce }))).toMatchObject(
      problem('unauthorized', 401),
    )
  })

  test('is refused with a jwk where a kid belongs, with a kid for newAccount, and with an unknown kid', async () => {
    const { t, url, payload, kid, send } = await begin()
    const jwk = t.http.createSignedBody(url, payload, { nonce: await t.http.getNonce() })
    const unknown = t.http.createSignedBody(url, payload, {
      kid: `${kid}0`,
      nonce: await t.http.getNonce(),
    })
    const newAccount = await post(t, await t.http.getResourceUrl('newAccount'), {})
    expect(await send(jwk)).toMatchObject(problem('malformed', 400))
    expect(await send(unknown)).toMatchObject(problem('accountDoesNotExist', 400))
    expect(newAccount).toMatchObject(problem('malformed', 400))
  })

  test('is refused with another content type, without JWS, and with GET', async () => {
    const { ca, t, url, send } = await begin()
    const json = await fetchOnce(url, ca, { method: 'POST', headers: { 'content-type': 'application/json' } })
    expect(json.statusCode).toBe(415)
    expect(await t.http.request(url, 'get')).toMatchObject(problem('malformed', 405))
    expect(await send('{}')).toMatchObject(problem('malformed', 400))
    expect(await send('nonsense')).toMatchObject(problem('malformed', 400))
  })

  test('is refused with an algorithm that is not offered, and told which are', async () => {
    const { t, url, payload, kid, send } = await begin()
    const body = t.http.createSignedBody(url, payload, { kid, nonce: await t.http.getNonce() })
    const header = JSON.parse(Buffer.from(body.protected, 'base64url').toString())
    for (const alg of ['none', 'HS256', 'ES384', 'RS256']) {
      const head = Buffer.from(JSON.stringify({ ...header, alg })).toString('base64url')
      const answer = await send({ ...body, protected: head })
      expect(answer).toMatchObject(problem('badSignatureAlgorithm', 400))
      expect(answer.data.algorithms).toEqual(['ES256', 'ES384', 'ES512', 'RS256'])
    }
  })

  test('is refused with the algorithm of another kind of key', async () => {
    const ca = await startCa()
    const t = await registered(ca, { accountKey: await acme.crypto.createPrivateRsaKey(2048) })
    const kid = t.client.getAccountUrl()
    const body = t.http.createSignedBody(kid, null, { kid, nonce: await t.http.getNonce() })
    const header = JSON.parse(Buffer.from(body.protected, 'base64url').toString())
    const head = Buffer.from(JSON.stringify({ ...header, alg: 'ES256' })).toString('base64url')
    const answer = await t.http.request(kid, 'post', { data: { ...body, protected: head } })
    expect(answer).toMatchObject(problem('badSignatureAlgorithm', 400))
  })

  test('is refused with a jwk and a kid, and with an unprotected header', async () => {
    const { t, url, payload, kid, send } = await begin()
    const body = t.http.createSignedBody(url, payload, { kid, nonce: await t.http.getNonce() })
    const header = JSON.parse(Buffer.from(body.protected, 'base64url').toString())
    const both = Buffer.from(JSON.stringify({ ...header, jwk: {} })).toString('base64url')
    expect(await send({ ...body, protected: both })).toMatchObject({
      data: { detail: expect.stringContaining('either jwk or kid') },
    })
    expect(await send({ ...body, header: {} })).toMatchObject(problem('malformed', 400))
  })

  test('is answered with no-store, a nonce, and a link to the directory', async () => {
    const { ca, t } = await begin()
    const newNonce = await t.http.getResourceUrl('newNonce')
    const [head, get] = [await t.http.request(newNonce, 'head'), await t.http.request(newNonce, 'get')]
    const refused = await post(t, await t.http.getResourceUrl('newOrder'), {})
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
    const { send } = await begin()
    expect(await send('x'.repeat(64 * 1024 + 1))).toMatchObject(problem('malformed', 413))
  })

  test('with a payload is refused where there is nothing to do but read', async () => {
    const { t } = await begin()
    const { order, authzs } = await newOrder(t, ['a.test'])
    for (const url of [order.url, authzs[0]!.url]) {
      expect(await post(t, url, {})).toMatchObject(problem('malformed', 400))
    }
  })

  test('for what does not exist is answered with 404', async () => {
    const { ca, t } = await begin()
    const { origin } = new URL(ca.directoryUrl)
    expect(await t.http.request(`${origin}/nothing`, 'get')).toMatchObject(problem('malformed', 404))
    expect(await post(t, `${origin}/order/999`)).toMatchObject(problem('malformed', 404))
  })
})

test.each([
  ['P-256', { namedCurve: 'P-256' }],
  ['P-384', { namedCurve: 'P-384' }],
  ['P-521', { namedCurve: 'P-521' }],
] as const)('an account key may be on %s', async (_, options) => {
  const ca = await startCa()
  const { privateKey } = generateKeyPairSync('ec', options)
  const accountKey = privateKey.export({ type: 'pkcs8', format: 'pem' }) as string
  await registered(ca, { accountKey })
  expect(ca.counts.accounts).toBe(1)
})

test('an account key may be RSA of 2048 bits, not of 1024', async () => {
  const ca = await startCa()
  await registered(ca, { accountKey: await acme.crypto.createPrivateRsaKey(2048) })
  const weak = await clientOf(ca, { accountKey: await acme.crypto.createPrivateRsaKey(1024) })
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
    const { ca, t, url } = await begin()
    const answer = await post(t, url, { identifiers: [{ type: identifier, value }] })
    expect(answer).toMatchObject(problem(type, 400))
    expect(ca.counts.orders).toBe(0)
  })

  test('answers malformed to no identifiers and to a wish for dates', async () => {
    const { t, url, payload } = await begin()
    expect(await post(t, url, { identifiers: [] })).toMatchObject(problem('malformed', 400))
    expect(await post(t, url, { ...payload, notAfter: '2030-01-01T00:00:00Z' })).toMatchObject(
      problem('malformed', 400),
    )
  })

  test('takes a name in upper case, and one that comes twice, as one', async () => {
    const { ca, t } = await begin()
    const { authzs } = await newOrder(t, ['Example.TEST', 'example.test'])
    expect(authzs.map(({ identifier }) => identifier.value)).toEqual(['example.test'])
    expect(ca.ordersFor('example.test')).toBe(1)
  })
})

describe('finalize', () => {
  const finalize = (t: Awaited<ReturnType<typeof registered>>, order: acme.Order, csr: Buffer) =>
    post(t, order.finalize, { csr: acme.crypto.getPemBodyAsB64u(csr) })

  test('refuses a CSR for another name, for more names and for fewer, and leaves the order ready', async () => {
    const { ca, t } = await begin()
    const order = await readyOrder(ca, t, ['a.test', 'b.test'])
    for (const names of [['a.test', 'c.test'], ['a.test', 'b.test', 'c.test'], ['a.test']]) {
      const { csr } = await csrFor(names)
      expect(await finalize(t, order, csr)).toMatchObject(problem('badCSR', 400))
    }
    const right = await finalize(t, order, (await csrFor(['b.test', 'a.test'])).csr)
    expect([right.status, right.data.status]).toEqual([200, 'valid'])
  })

  test('refuses a CSR whose signature is broken, and what is no CSR', async () => {
    const { ca, t } = await begin()
    const order = await readyOrder(ca, t, ['a.test'])
    const der = Buffer.from(acme.crypto.getPemBodyAsB64u((await csrFor(['a.test'])).csr), 'base64url')
    der[der.length - 1]! ^= 1
    for (const csr of [der.toString('base64url'), 'bm9uc2Vuc2U']) {
      expect(await post(t, order.finalize, { csr })).toMatchObject(problem('badCSR', 400))
    }
  })

  test('refuses the account key as the key of the certificate', async () => {
    const ca = await startCa()
    const accountKey = await acme.crypto.createPrivateEcdsaKey()
    const t = await registered(ca, { accountKey })
    const order = await readyOrder(ca, t, ['a.test'])
    const [, csr] = await acme.crypto.createCsr({ altNames: ['a.test'] }, accountKey)
    expect(await finalize(t, order, csr)).toMatchObject(problem('badCSR', 400))
  })

  test('answers orderNotReady before the order is ready and after it is valid', async () => {
    const { ca, t } = await begin()
    const { csr } = await csrFor(['a.test'])
    const { order: pending } = await newOrder(t, ['a.test'])
    expect(await finalize(t, pending, csr)).toMatchObject(problem('orderNotReady', 403))
    const order = await readyOrder(ca, t, ['a.test'])
    const twice = [await finalize(t, order, csr), await finalize(t, order, csr)]
    expect(twice.map(({ status }) => status)).toEqual([200, 403])
    expect(ca.counts.certificates).toBe(1)
  })

  test('called twice at once issues one certificate', async () => {
    const { ca, t } = await begin()
    const { csr } = await csrFor(['a.test'])
    const order = await readyOrder(ca, t, ['a.test'])
    const both = await Promise.all([finalize(t, order, csr), finalize(t, order, csr)])
    expect(both.map(({ status }) => status).sort()).toEqual([200, 403])
    expect(ca.counts.certificates).toBe(1)
  })
})
