import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { type RequestOptions, request } from 'node:https'
import { describe, expect, test } from 'vitest'
import { newOrder, post, useCa } from './acme-user.js'

const shared = useCa()

/** Sends a request without acme-client, which would set the content type. */
async function send(path: string, { body, ...options }: RequestOptions & { body?: string } = {}) {
  const { directoryUrl, endpointCertificate } = shared.ca
  const url = new URL(path, directoryUrl)
  const sent = request(url, { ...options, ca: endpointCertificate, agent: false })
  const [response] = (await once(sent.end(body), 'response')) as [IncomingMessage]
  const { statusCode: status, headers } = response
  let text = ''
  for await (const chunk of response.setEncoding('utf8')) text += chunk
  return { status, headers, text }
}

/** Returns a signed POST-as-GET of the account, its protected header with these additional members. */
async function signed(members: object = {}) {
  const { user } = shared
  const url = user.client.getAccountUrl()
  const body = user.http.createSignedBody(url, null, { kid: url, nonce: await user.http.getNonce() })
  const header = { ...JSON.parse(Buffer.from(body.protected, 'base64url').toString()), ...members }
  return { url, body: { ...body, protected: Buffer.from(JSON.stringify(header)).toString('base64url') } }
}

describe('a reply', () => {
  test('to a wrong method names the allowed methods', async () => {
    expect(await send('/directory', { method: 'POST' })).toMatchObject({
      status: 405,
      headers: { allow: 'GET, HEAD', 'replay-nonce': expect.any(String) },
    })
    expect(await send('/newOrder')).toMatchObject({ status: 405, headers: { allow: 'POST' } })
  })

  test('to a GET has a nonce only at newNonce, if it succeeds', async () => {
    const nonceOf = async (path: string, options?: RequestOptions) =>
      (await send(path, options)).headers['replay-nonce']
    expect(await nonceOf('/newNonce')).toEqual(expect.any(String))
    for (const path of ['/directory', '/terms', '/newOrder', '/nothing'])
      expect(await nonceOf(path)).toBeUndefined()
    shared.ca.fault({ on: 'newNonce', status: 503 })
    expect(await nonceOf('/newNonce')).toBeUndefined()
  })

  test('at a challenge links to the directory and to the authorization', async () => {
    const { ca, user } = shared
    const { order, challenges } = await newOrder(user, ['a.test'])
    const { headers } = await post(user, challenges[0]!.url)
    const [authorization] = order.authorizations
    expect(headers.link).toBe(`<${ca.directoryUrl}>;rel="index", <${authorization}>;rel="up"`)
  })

  test('of the directory and the terms of service can be read with GET and HEAD', async () => {
    expect(await send('/directory')).toMatchObject({
      status: 200,
      headers: { 'content-type': 'application/json' },
    })
    expect(await send('/directory', { method: 'HEAD' })).toMatchObject({ status: 200, text: '' })
    expect(await send('/terms')).toMatchObject({
      status: 200,
      headers: { 'content-type': 'text/plain' },
      text: 'For tests only.\n',
    })
  })

  test('is a 404 below a resource', async () => {
    expect((await send('/directory/a/b')).status).toBe(404)
  })
})

describe('a signed request', () => {
  const post = (url: string, body: unknown, type = 'application/jose+json') =>
    send(url, { method: 'POST', headers: { 'content-type': type }, body: JSON.stringify(body) })

  test('may have parameters in its content type', async () => {
    const { url, body } = await signed()
    expect((await post(url, body, 'application/jose+json; charset=utf-8')).status).toBe(200)
  })

  test('may be 64 KiB long', async () => {
    const { url, body } = await signed()
    const padding = 64 * 1024 - JSON.stringify({ ...body, padding: '' }).length
    expect((await post(url, { ...body, padding: 'x'.repeat(padding) })).status).toBe(200)
  })

  test.each([{ crit: ['exp'] }, { b64: false }])('is refused with the header %o', async (members) => {
    const { url, body } = await signed(members)
    expect(JSON.parse((await post(url, body)).text).detail).toBe('crit and b64 are not supported')
  })

  test.each([{ signatures: [] }, { payload: 1 }, { protected: 1 }, { signature: 1 }, { signature: '=' }])(
    'is refused as malformed with %o',
    async (members) => {
      const { url, body } = await signed()
      const { status, text } = await post(url, { ...body, ...members })
      expect({ status, ...JSON.parse(text) }).toMatchObject({
        status: 400,
        type: 'urn:ietf:params:acme:error:malformed',
        detail: expect.not.stringContaining('does not verify'),
      })
    },
  )

  test.each([{ kty: 'oct', k: 'AA' }, { kty: 'EC', crv: 'P-256', x: 'AA', y: 'AA' }, null])(
    'answers badPublicKey to the jwk %o',
    async (jwk) => {
      const { body } = await signed({ jwk, kid: undefined })
      expect(JSON.parse((await post('/newAccount', body)).text)).toMatchObject({
        type: 'urn:ietf:params:acme:error:badPublicKey',
        status: 400,
      })
    },
  )
})
