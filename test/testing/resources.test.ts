import { expect, test } from 'vitest'
import { certificateId } from '../../src/acme/renewal-info.js'
import type { TestCaOptions } from '../../src/testing/index.js'
import { csrFor, newOrder, obtain, post, readyOrder, registered, startCa, useCa } from './acme-user.js'

const shared = useCa()

async function start(options?: TestCaOptions) {
  const ca = await startCa(options)
  return { ca, user: await registered(ca) }
}

const urn = (type: string) => `urn:ietf:params:acme:error:${type}`

test('a deactivated authorization invalidates its order', async () => {
  const { user } = shared
  const { order, authzs } = await newOrder(user, ['a.test', 'b.test'])
  const deactivate = () => post(user, authzs[0]!.url, { status: 'deactivated' })
  for (const reply of [await deactivate(), await deactivate()]) expect(reply.data.status).toBe('deactivated')
  expect((await post(user, order.url)).data).toMatchObject({
    status: 'invalid',
    error: { type: urn('unauthorized'), status: 403 },
  })
  expect((await post(user, authzs[1]!.url)).data.status).toBe('pending')
})

test('a valid authorization can be deactivated before the certificate is ordered, and an invalid one stays invalid', async () => {
  const { ca, user } = shared
  const ready = await readyOrder(ca, user, ['a.test'])
  const [authorization] = ready.authorizations
  await post(user, authorization!, { status: 'deactivated' })
  expect((await post(user, ready.url)).data.status).toBe('invalid')
  const { order, authzs, challenges } = await newOrder(user, ['a.test'])
  ca.fault({ on: 'challenge', invalid: true, type: 'dns' })
  await user.client.completeChallenge(challenges[0]!)
  await expect(user.client.waitForValidStatus(order)).rejects.toThrow()
  const reply = await post(user, authzs[0]!.url, { status: 'deactivated' })
  expect(reply.data.status).toBe('invalid')
  expect((await post(user, order.url)).data.error).toMatchObject({ type: urn('dns') })
})

test('an order that is ready expires a week after it was placed, with its valid authorizations', async () => {
  let now = Date.UTC(2031, 4, 6, 7, 8, 9, 123)
  const { ca, user } = await start({ now: () => now })
  const order = await readyOrder(ca, user, ['a.test'])
  const { data } = await post(user, order.url)
  expect(data.expires).toBe('2031-05-13T07:08:09Z')
  now += 7 * 86_400_000 - 1
  expect((await post(user, order.url)).data.status).toBe('ready')
  now += 1
  const { csr } = await csrFor(['a.test'])
  await expect(user.client.finalizeOrder(order, csr)).rejects.toThrow('The order is invalid')
  expect((await post(user, order.authorizations[0]!)).data.status).toBe('expired')
})

test('an order that is valid does not expire', async () => {
  let now = Date.now()
  const { ca, user } = await start({ now: () => now })
  const ready = await readyOrder(ca, user, ['a.test'])
  await user.client.finalizeOrder(ready, (await csrFor(['a.test'])).csr)
  now += 8 * 86_400_000
  expect((await post(user, ready.url)).data.status).toBe('valid')
})

test('a challenge of an expired order cannot be completed', async () => {
  let now = Date.now()
  const { ca, user } = await start({ now: () => now })
  const { challenges } = await newOrder(user, ['a.test'])
  now += 7 * 86_400_000
  await expect(user.client.completeChallenge(challenges[0]!)).rejects.toThrow('The authorization is expired')
  expect(ca.counts.validations).toBe(0)
})

test('retryAfter is sent with a pending authorization and a processing challenge, and not after that', async () => {
  const { user } = await start({ retryAfter: 7, validationDelayMs: 2 ** 31 - 1 })
  const { order, authzs, challenges } = await newOrder(user, ['a.test'])
  const retryAfter = async (url: string, payload?: object) =>
    (await post(user, url, payload)).headers['retry-after']
  expect(await retryAfter(order.url)).toBeUndefined()
  expect(await retryAfter(challenges[0]!.url)).toBeUndefined()
  expect(await retryAfter(authzs[0]!.url)).toBe('7')
  expect(await retryAfter(challenges[0]!.url, {})).toBe('7')
  expect(await retryAfter(authzs[0]!.url, { status: 'deactivated' })).toBeUndefined()
})

test('a validated challenge has the time of its validation, by the injected clock in whole seconds', async () => {
  const { ca, user } = await start({ now: () => Date.UTC(2031, 4, 6, 7, 8, 9, 999) })
  const order = await readyOrder(ca, user, ['a.test'])
  const { data } = await post(user, order.authorizations[0]!)
  const challenges = data.challenges as { type: string; validated?: string }[]
  expect(challenges.map(({ type, validated }) => [type, validated])).toEqual([
    ['http-01', '2031-05-06T07:08:09Z'],
    ['tls-alpn-01', undefined],
  ])
})

test('the certificate of an order is a 404 before it is issued, and can only be read by its account', async () => {
  const { ca, user } = shared
  const order = await readyOrder(ca, user, ['a.test'])
  const url = order.url.replace('/order/', '/certificate/')
  expect((await post(user, url)).status).toBe(404)
  await user.client.finalizeOrder(order, (await csrFor(['a.test'])).csr)
  expect(await post(user, url)).toMatchObject({
    status: 200,
    headers: { 'content-type': 'application/pem-certificate-chain' },
  })
  expect((await post(user, url, {})).status).toBe(400)
  expect((await post(await registered(ca), url)).status).toBe(403)
})

test('orders lists the orders of its account alone, and refuses a payload', async () => {
  const { ca, user } = shared
  const other = await registered(ca)
  await newOrder(user, ['a.test'])
  const { order } = await newOrder(other, ['b.test'])
  const { data } = await post(other, other.client.getAccountUrl())
  expect((await post(other, data.orders as string)).data).toEqual({ orders: [order.url] })
  expect((await post(other, data.orders as string, {})).status).toBe(400)
})

test('newOrder refuses a profile and a replaces that are not strings, and a notBefore', async () => {
  const { user } = shared
  const url = await user.http.getResourceUrl('newOrder')
  const identifiers = [{ type: 'dns', value: 'a.test' }]
  for (const members of [{ profile: 1 }, { replaces: [] }, { notBefore: '2030-01-01T00:00:00Z' }]) {
    expect((await post(user, url, { identifiers, ...members })).data).toMatchObject({
      type: urn('malformed'),
      status: 400,
    })
  }
})

test('newOrder accepts a name of 253 characters, not of 254', async () => {
  const { user } = shared
  const name = `${`${'a'.repeat(61)}.`.repeat(4)}tests`
  expect(name).toHaveLength(253)
  expect((await newOrder(user, [name])).order.identifiers[0]!.value).toBe(name)
  await expect(newOrder(user, [`b${name}`])).rejects.toThrow('No certificate can be issued')
})

test('a certificate can be replaced again after the order that replaces it became invalid', async () => {
  const { ca, user } = shared
  const { key, pem } = await obtain(ca, user, ['a.test'])
  const replaces = await certificateId(Buffer.concat([key, Buffer.from(pem)]))
  const url = await user.http.getResourceUrl('newOrder')
  const replace = () => post(user, url, { identifiers: [{ type: 'dns', value: 'a.test' }], replaces })
  const { data } = await replace()
  expect(await replace()).toMatchObject({ status: 409, data: { type: urn('alreadyReplaced') } })
  await post(user, (data.authorizations as string[])[0]!, { status: 'deactivated' })
  expect((await replace()).status).toBe(201)
})

test('without renewalInfo, the CA answers 404 to it, and ignores replaces', async () => {
  const { ca, user } = await start({ renewalInfo: false })
  const { key, pem } = await obtain(ca, user, ['a.test'])
  const id = await certificateId(Buffer.concat([key, Buffer.from(pem)]))
  const reply = await user.http.request(new URL(`/renewalInfo/${id}`, ca.directoryUrl).href, 'get')
  expect(reply.status).toBe(404)
  const order = { identifiers: [{ type: 'dns', value: 'a.test' }], replaces: 'unknown' }
  expect((await post(user, await user.http.getResourceUrl('newOrder'), order)).status).toBe(201)
  expect(ca.counts.renewalInfos).toBe(0)
})
