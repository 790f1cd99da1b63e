import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { request } from 'node:https'
import { connect as connectTcp } from 'node:net'
import { describe, expect, onTestFinished, test } from 'vitest'
import type { Endpoint, Fault } from '../../src/testing/index.js'
import {
  csrFor,
  newOrder,
  obtain,
  post,
  readyOrder,
  registered,
  startCa,
  useCa,
  userOf,
} from './acme-user.js'

const shared = useCa()

/** Sets a fault that ends with the test. */
function setFault(fault: Fault) {
  const active = shared.ca.fault(fault)
  onTestFinished(() => active.remove())
  return active
}

describe('a fault', () => {
  test('replies in place of its endpoint to `times` requests, and counts them', async () => {
    const { ca, user } = shared
    const ordersBefore = ca.counts.orders
    const fault = setFault({
      on: 'newOrder',
      times: 2,
      type: 'rateLimited',
      detail: 'slowly',
      retryAfter: 3600,
    })
    const url = await user.http.getResourceUrl('newOrder')
    const send = () => post(user, url, { identifiers: [{ type: 'dns', value: 'example.test' }] })
    const replies = [await send(), await send()]
    for (const reply of replies) {
      expect(reply).toMatchObject({
        status: 429,
        headers: { 'retry-after': '3600', 'content-type': 'application/problem+json' },
        data: { type: 'urn:ietf:params:acme:error:rateLimited', detail: 'slowly', status: 429 },
      })
    }
    expect((await send()).status).toBe(201)
    expect([fault.hits, ca.counts.orders]).toEqual([2, ordersBefore + 1])
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
  ])('on %s prevents the issuance of a certificate', async (on) => {
    const { ca } = shared
    const fault = setFault({ on, status: 503, times: Infinity })
    const issuance = registered(ca).then((user) => obtain(ca, user, ['example.test']))
    await expect(issuance).rejects.toThrow(/on purpose|503|get nonce/)
    expect(fault.hits).toBeGreaterThan(0)
  })

  test('removes no other fault after it has been used up', async () => {
    const { user } = shared
    const used = setFault({ on: 'newOrder', status: 503 })
    const next = setFault({ on: 'newOrder', type: 'rejectedIdentifier' })
    await expect(newOrder(user, ['a.test'])).rejects.toThrow(/on purpose/)
    used.remove()
    await expect(newOrder(user, ['a.test'])).rejects.toThrow(/on purpose/)
    expect(next.hits).toBe(1)
  })

  test('for one name does not affect other names', async () => {
    const { user } = shared
    setFault({ on: 'newOrder', host: 'a.test', type: 'rejectedIdentifier', times: Infinity })
    setFault({ on: 'authz', host: 'b.test', status: 500, times: Infinity })
    await expect(newOrder(user, ['a.test'])).rejects.toThrow('set on purpose')
    await expect(newOrder(user, ['b.test'])).rejects.toThrow('set on purpose')
    expect((await newOrder(user, ['c.test'])).order.status).toBe('pending')
  })

  test('ends when it is removed, and may be removed twice', async () => {
    const { user } = shared
    const fault = setFault({ on: 'newOrder', status: 500, times: Infinity })
    await expect(newOrder(user, ['a.test'])).rejects.toThrow()
    fault.remove()
    fault.remove()
    await newOrder(user, ['a.test'])
    expect(fault.hits).toBe(1)
  })

  test('replies with any body, problem type or status', async () => {
    const { ca, user } = shared
    setFault({ on: 'directory', status: 502, body: '<html>', contentType: 'text/html' })
    setFault({ on: 'directory', status: 418, type: 'urn:example:teapot' })
    const [html, teapot] = [
      await user.http.request(ca.directoryUrl, 'get'),
      await user.http.request(ca.directoryUrl, 'get'),
    ]
    expect(html).toMatchObject({ status: 502, headers: { 'content-type': 'text/html' }, data: '<html>' })
    expect(teapot).toMatchObject({ status: 418, data: { type: 'urn:example:teapot', status: 418 } })
  })

  test('replies with status 500 and text/plain to a body alone, and with the status of a type', async () => {
    const { ca, user } = shared
    setFault({ on: 'directory', body: 'broken' })
    setFault({ on: 'directory', type: 'urn:ietf:params:acme:error:rateLimited' })
    setFault({ on: 'directory', type: 'dns', status: 200 })
    setFault({ on: 'directory', type: 'unheardOf' })
    const get = () => user.http.request(ca.directoryUrl, 'get')
    expect(await get()).toMatchObject({ status: 500, headers: { 'content-type': 'text/plain' } })
    expect(await get()).toMatchObject({
      status: 429,
      data: { type: 'urn:ietf:params:acme:error:rateLimited', status: 429 },
    })
    expect(await get()).toMatchObject({ status: 200, data: { status: 200 } })
    expect(await get()).toMatchObject({
      status: 500,
      data: { type: 'urn:ietf:params:acme:error:unheardOf', status: 500 },
    })
  })

  test('does not change with the object that it was set from', async () => {
    const { ca, user } = shared
    const fault = { on: 'directory' as Endpoint, status: 503 }
    setFault(fault)
    fault.on = 'terms'
    expect((await user.http.request(ca.directoryUrl, 'get')).status).toBe(503)
  })

  test.each<Endpoint>(['order', 'finalize', 'certificate', 'challenge'])(
    'for one name affects %s of that name alone',
    async (on) => {
      const { ca, user } = shared
      const fault = setFault({ on, host: 'b.test', times: Infinity, retryAfter: 1 })
      await obtain(ca, user, ['a.test'])
      expect(fault.hits).toBe(0)
      await obtain(ca, user, ['b.test'])
      expect(fault.hits).toBeGreaterThan(0)
    },
  )

  test('for one name affects neither the challenge nor the authorization of another name of the order', async () => {
    const { user } = shared
    const { authzs, challenges } = await newOrder(user, ['a.test', 'b.test'])
    setFault({ on: 'authz', host: 'b.test', status: 503 })
    setFault({ on: 'challenge', host: 'b.test', status: 503 })
    for (const [index, status] of [200, 503].entries()) {
      expect((await post(user, authzs[index]!.url)).status).toBe(status)
      expect((await post(user, challenges[index]!.url)).status).toBe(status)
    }
  })

  test('with only Retry-After or a delay lets the endpoint reply', async () => {
    const { user } = shared
    const { order } = await newOrder(user, ['a.test'])
    setFault({ on: 'order', retryAfter: 'Fri, 31 Dec 2027 23:59:59 GMT' })
    setFault({ on: 'order', delayMs: 1 })
    const [first, second] = [await post(user, order.url), await post(user, order.url)]
    expect(first.headers['retry-after']).toBe('Fri, 31 Dec 2027 23:59:59 GMT')
    expect([first.data.status, second.data.status]).toEqual(['pending', 'pending'])
  })

  test.each(['stall', 'end', 'reset'] as const)('breaks the reply off in its body: %s', async (breakOff) => {
    const ca = await startCa()
    ca.fault({ on: 'directory', breakOff })
    const sent = request(ca.directoryUrl, { ca: ca.endpointCertificate, agent: false })
    // Since Node 24, a reset after the response is also an error of the request.
    sent.on('error', () => undefined)
    const [incoming] = (await once(sent.end(), 'response')) as [IncomingMessage]
    const outcome = once(incoming, 'end').catch((error) => error)
    const [start] = await once(incoming.setEncoding('utf8'), 'data')
    expect(start).toMatch(/^\{"newNonce":[^}]*$/)
    // A stall lasts until the CA closes.
    if (breakOff === 'stall') await ca.close()
    expect(await outcome).toMatchObject({ code: 'ECONNRESET' })
  })

  test('fails a validation without connecting to the server', async () => {
    const { user } = shared
    const { order, challenges } = await newOrder(user, ['a.test'])
    setFault({ on: 'challenge', host: 'a.test', invalid: true, type: 'dns', detail: 'no such name' })
    await user.client.completeChallenge(challenges[0]!)
    await expect(user.client.waitForValidStatus(order)).rejects.toThrow('no such name')
    expect((await post(user, challenges[0]!.url)).data.error).toEqual({
      type: 'urn:ietf:params:acme:error:dns',
      detail: 'no such name',
      status: 400,
    })
  })

  test('with an unknown option is rejected', () => {
    expect(() => shared.ca.fault({ on: 'order', statuss: 500 } as Fault)).toThrow(
      new TypeError('TestCa.fault: unknown option "statuss". Did you mean "status"?'),
    )
  })

  test('with a value outside its range is rejected', () => {
    const { ca } = shared
    expect(() => ca.fault({ on: 'nowhere' as Endpoint })).toThrow(RangeError)
    expect(() => ca.fault({ on: 'order', times: 0 })).toThrow(RangeError)
    expect(() => ca.fault({ on: 'order', times: Number.NaN })).toThrow(RangeError)
    expect(() => ca.fault({ on: 'order', status: 600 })).toThrow(RangeError)
    expect(() => ca.fault({ on: 'order', delayMs: 2 ** 31 })).toThrow(RangeError)
    expect(() => ca.fault({ on: 'order', retryAfter: Number.NaN })).toThrow(RangeError)
    expect(() => ca.fault({ on: 'order', status: 99 })).toThrow(RangeError)
    expect(() => ca.fault({ on: 'order', delayMs: -1 })).toThrow(RangeError)
    expect(() => ca.fault({ on: 'order', invalid: true })).toThrow(RangeError)
    expect(() => ca.fault({ on: 'order', retryAfter: -1 })).toThrow(RangeError)
    expect(() => ca.fault({ on: 'order', breakOff: 'close' as never })).toThrow(RangeError)
  })
})

describe('badNonceRate', () => {
  test('0.5 refuses every second request, and acme-client recovers', async () => {
    const ca = await startCa({ badNonceRate: 0.5 })
    const { pem } = await obtain(ca, await registered(ca), ['a.test'])
    expect(pem).toContain('BEGIN CERTIFICATE')
  })

  test('0.1 refuses the tenth request, and 1 refuses all', async () => {
    const ca = await startCa()
    const user = await registered(ca)
    const send = async () => {
      const kid = user.client.getAccountUrl()
      const data = user.http.createSignedBody(kid, null, { kid, nonce: await user.http.getNonce() })
      return (await user.http.request(kid, 'post', { data })).status
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
  ])('ends a request that %s, and may be called twice', async (_, fault) => {
    const ca = await startCa()
    const user = await userOf(ca)
    const active = ca.fault({ on: 'directory', ...fault })
    const request = user.http.request(ca.directoryUrl, 'get').then(
      () => 'answered',
      () => 'ended',
    )
    await expect.poll(() => active.hits).toBe(1)
    await ca.close()
    expect(await request).toBe('ended')
    expect(ca.close()).toBe(ca.close())
    await ca[Symbol.asyncDispose]()
  })

  test('ends a connection without a TLS handshake', async () => {
    const ca = await startCa()
    const socket = connectTcp(Number(new URL(ca.directoryUrl).port), '127.0.0.1')
    await once(socket, 'connect')
    const closed = once(socket, 'close')
    // A reply on a later connection proves that the CA has accepted the first one.
    const { status } = await (await userOf(ca)).http.request(ca.directoryUrl, 'get')
    expect(status).toBe(200)
    await ca.close()
    await closed
  })

  test('ends a delayed validation and a delayed issuance', async () => {
    const ca = await startCa({ issuanceDelayMs: 2 ** 31 - 1 })
    const user = await registered(ca)
    const order = await readyOrder(ca, user, ['a.test'])
    await user.client.finalizeOrder(order, (await csrFor(['a.test'])).csr)
    ca.validationDelayMs = 2 ** 31 - 1
    const { challenges } = await newOrder(user, ['b.test'])
    await user.client.completeChallenge(challenges[0]!)
    await ca.close()
    expect(ca.orders.map(({ status }) => status)).toEqual(['processing', 'pending'])
  })
})

describe('a fault that contradicts itself is refused', () => {
  test.each<[Fault, RegExp]>([
    [{ on: 'directory', location: '/directory?moved' }, /location requires a status of 301, 302/],
    [{ on: 'directory', status: 200, location: '/x' }, /location requires a status of 301, 302/],
    [{ on: 'challenge', authorizationStaysPending: true }, /authorizationStaysPending requires invalid/],
  ])('%j', (fault, message) => {
    expect(() => shared.ca.fault(fault)).toThrow(message)
  })
})
