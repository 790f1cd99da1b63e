import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { request } from 'node:https'
import { connect as connectTcp } from 'node:net'
import { describe, expect, test } from 'vitest'
import type { Endpoint } from '../../src/testing/index.js'
import { clientOf, csrFor, newOrder, obtain, post, readyOrder, registered, startCa } from './client.js'

describe('a fault', () => {
  test('answers in the place of its endpoint, as often as it was told, and counts', async () => {
    const ca = await startCa()
    const t = await registered(ca)
    const fault = ca.fault({
      on: 'newOrder',
      times: 2,
      type: 'rateLimited',
      detail: 'slowly',
      retryAfter: 3600,
    })
    const url = await t.http.getResourceUrl('newOrder')
    const send = () => post(t, url, { identifiers: [{ type: 'dns', value: 'example.test' }] })
    const [first, second, third] = [await send(), await send(), await send()]
    for (const answer of [first, second]) {
      expect(answer).toMatchObject({
        status: 429,
        headers: { 'retry-after': '3600', 'content-type': 'application/problem+json' },
        data: { type: 'urn:ietf:params:acme:error:rateLimited', detail: 'slowly', status: 429 },
      })
    }
    expect([third.status, fault.hits, ca.counts.orders]).toEqual([201, 2, 1])
  })

  test.each<Endpoint>([
    'directory',
    'newNonce',
    'newAccount',
    'newOrder',
    'authz',
    'challenge',
    'finalize',
    'certificate',
  ])('on %s keeps a certificate from being obtained', async (on) => {
    const ca = await startCa()
    const fault = ca.fault({ on, status: 503, times: Infinity })
    const obtained = registered(ca).then((t) => obtain(ca, t, ['example.test']))
    await expect(obtained).rejects.toThrow(/on purpose|503|get nonce/)
    expect(fault.hits).toBeGreaterThan(0)
  })

  test('for one name leaves the others alone', async () => {
    const ca = await startCa()
    const t = await registered(ca)
    ca.fault({ on: 'newOrder', host: 'a.test', type: 'rejectedIdentifier', times: Infinity })
    ca.fault({ on: 'authz', host: 'b.test', status: 500, times: Infinity })
    await expect(newOrder(t, ['a.test'])).rejects.toThrow('set on purpose')
    await expect(newOrder(t, ['b.test'])).rejects.toThrow('set on purpose')
    expect((await newOrder(t, ['c.test'])).order.status).toBe('pending')
  })

  test('is gone once it is removed, and removing it again is harmless', async () => {
    const ca = await startCa()
    const t = await registered(ca)
    const fault = ca.fault({ on: 'newOrder', status: 500, times: Infinity })
    await expect(newOrder(t, ['a.test'])).rejects.toThrow()
    fault.remove()
    fault.remove()
    await newOrder(t, ['a.test'])
    expect(fault.hits).toBe(1)
  })

  test('may answer with any body, a full problem type, or a status of its own', async () => {
    const ca = await startCa()
    const t = await clientOf(ca)
    ca.fault({ on: 'directory', status: 502, body: '<html>', contentType: 'text/html' })
    ca.fault({ on: 'directory', status: 418, type: 'urn:example:teapot' })
    const [html, teapot] = [
      await t.http.request(ca.directoryUrl, 'get'),
      await t.http.request(ca.directoryUrl, 'get'),
    ]
    expect(html).toMatchObject({ status: 502, headers: { 'content-type': 'text/html' }, data: '<html>' })
    expect(teapot).toMatchObject({ status: 418, data: { type: 'urn:example:teapot', status: 418 } })
  })

  test('with nothing but Retry-After or a delay lets the endpoint answer', async () => {
    const ca = await startCa()
    const t = await registered(ca)
    const { order } = await newOrder(t, ['a.test'])
    ca.fault({ on: 'order', retryAfter: 'Fri, 31 Dec 2027 23:59:59 GMT' })
    ca.fault({ on: 'order', delayMs: 1 })
    const [first, second] = [await post(t, order.url), await post(t, order.url)]
    expect(first.headers['retry-after']).toBe('Fri, 31 Dec 2027 23:59:59 GMT')
    expect([first.data.status, second.data.status]).toEqual(['pending', 'pending'])
  })

  test.each(['stall', 'end', 'reset'] as const)('breaks the answer off in its body: %s', async (breakOff) => {
    const ca = await startCa()
    ca.fault({ on: 'directory', breakOff })
    const sent = request(ca.directoryUrl, { ca: ca.endpointCertificate, agent: false })
    // From Node 24 on a reset reaches the request, too, after its response has come.
    sent.on('error', () => undefined)
    const [incoming] = (await once(sent.end(), 'response')) as [IncomingMessage]
    const outcome = once(incoming, 'end').catch((error) => error)
    const [start] = await once(incoming.setEncoding('utf8'), 'data')
    expect(start).toMatch(/^\{"newNonce":[^}]*$/)
    // A stall lasts until then.
    if (breakOff === 'stall') await ca.close()
    expect(await outcome).toMatchObject({ code: 'ECONNRESET' })
  })

  test('declares a validation failed without connecting to anything', async () => {
    const ca = await startCa()
    const t = await registered(ca)
    const { order, challenges } = await newOrder(t, ['a.test'])
    ca.fault({ on: 'challenge', host: 'a.test', invalid: true, type: 'dns', detail: 'no such name' })
    await t.client.completeChallenge(challenges[0]!)
    await expect(t.client.waitForValidStatus(order)).rejects.toThrow('no such name')
    expect((await post(t, challenges[0]!.url)).data.error).toEqual({
      type: 'urn:ietf:params:acme:error:dns',
      detail: 'no such name',
      status: 400,
    })
  })

  test('that cannot be is refused', async () => {
    const ca = await startCa()
    expect(() => ca.fault({ on: 'nowhere' as Endpoint })).toThrow(RangeError)
    expect(() => ca.fault({ on: 'order', times: 0 })).toThrow(RangeError)
    expect(() => ca.fault({ on: 'order', status: 99 })).toThrow(RangeError)
    expect(() => ca.fault({ on: 'order', delayMs: -1 })).toThrow(RangeError)
    expect(() => ca.fault({ on: 'order', invalid: true })).toThrow(RangeError)
    expect(() => ca.fault({ on: 'order', retryAfter: -1 })).toThrow(RangeError)
    expect(() => ca.fault({ on: 'order', breakOff: 'close' as never })).toThrow(RangeError)
  })
})

describe('badNonceRate', () => {
  test('of a half refuses every second request, from which acme-client recovers', async () => {
    const ca = await startCa({ badNonceRate: 0.5 })
    const { pem } = await obtain(ca, await registered(ca), ['a.test'])
    expect(pem).toContain('BEGIN CERTIFICATE')
  })

  test('of a tenth refuses the tenth request, and of one refuses all', async () => {
    const ca = await startCa()
    const t = await registered(ca)
    const send = async () => {
      const kid = t.client.getAccountUrl()
      const data = t.http.createSignedBody(kid, null, { kid, nonce: await t.http.getNonce() })
      return (await t.http.request(kid, 'post', { data })).status
    }
    ca.badNonceRate = 0.1
    const statuses: number[] = []
    for (let i = 0; i < 10; i += 1) statuses.push(await send())
    expect(statuses).toEqual([...Array(9).fill(200), 400])
    ca.badNonceRate = 1
    expect([await send(), await send()]).toEqual([400, 400])
  })
})

describe('close', () => {
  test.each([
    ['hangs', { hang: true }],
    ['is delayed', { delayMs: 2 ** 31 - 1 }],
  ])('ends a request that %s, and is harmless when repeated', async (_, what) => {
    const ca = await startCa()
    const t = await clientOf(ca)
    const fault = ca.fault({ on: 'directory', ...what })
    const request = t.http.request(ca.directoryUrl, 'get').then(
      () => 'answered',
      () => 'ended',
    )
    await expect.poll(() => fault.hits).toBe(1)
    await ca.close()
    expect(await request).toBe('ended')
    expect(ca.close()).toBe(ca.close())
    await ca[Symbol.asyncDispose]()
  })

  test('ends a connection that never got to its TLS handshake', async () => {
    const ca = await startCa()
    const socket = connectTcp(Number(new URL(ca.directoryUrl).port), '127.0.0.1')
    await once(socket, 'connect')
    const closed = once(socket, 'close')
    await t200(ca)
    await ca.close()
    await closed
  })

  test('ends a validation and an issuance that wait', async () => {
    const ca = await startCa({ issuanceDelayMs: 2 ** 31 - 1 })
    const t = await registered(ca)
    const order = await readyOrder(ca, t, ['a.test'])
    await t.client.finalizeOrder(order, (await csrFor(['a.test'])).csr)
    ca.validationDelayMs = 2 ** 31 - 1
    const { challenges } = await newOrder(t, ['b.test'])
    await t.client.completeChallenge(challenges[0]!)
    await ca.close()
    expect(ca.orders.map(({ status }) => status)).toEqual(['processing', 'pending'])
  })

  /** The CA has accepted every earlier connection once it answers on a later one. */
  async function t200(ca: Awaited<ReturnType<typeof startCa>>) {
    expect((await (await clientOf(ca)).http.request(ca.directoryUrl, 'get')).status).toBe(200)
  }
})
