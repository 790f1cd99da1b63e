import { randomBytes } from 'node:crypto'
import * as acme from 'acme-client'
import { describe, expect, test } from 'vitest'
import { clientOf, newOrder, post, registered, startCa } from './client.js'

describe('an account', () => {
  test('is made once for a key, however often it is asked for', async () => {
    const ca = await startCa()
    const accountKey = await acme.crypto.createPrivateEcdsaKey()
    const [one, two] = [await registered(ca, { accountKey }), await clientOf(ca, { accountKey })]
    const contact = ['mailto:ops@example.test']
    // acme-client updates what it finds.
    await two.client.createAccount({ termsOfServiceAgreed: true, contact })
    expect(two.client.getAccountUrl()).toBe(one.client.getAccountUrl())
    const empty = post(one, one.client.getAccountUrl(), {})
    await expect(empty).resolves.toMatchObject({ status: 400, data: { detail: /nothing to update/ } })
    expect(ca.counts.accounts).toBe(1)
    await registered(ca)
    expect(ca.counts.accounts).toBe(2)
  })

  test('is not made when only an existing one is asked for', async () => {
    const ca = await startCa()
    const accountKey = await acme.crypto.createPrivateEcdsaKey()
    const { client } = await clientOf(ca, { accountKey })
    await expect(client.createAccount({ onlyReturnExisting: true })).rejects.toThrow(
      'no account with this key',
    )
    expect(ca.counts.accounts).toBe(0)
    const { client: owner } = await registered(ca, { accountKey })
    await client.createAccount({ onlyReturnExisting: true })
    expect(client.getAccountUrl()).toBe(owner.getAccountUrl())
  })

  test('needs the terms of service to be agreed to', async () => {
    const ca = await startCa()
    const { client } = await clientOf(ca)
    expect(await client.getTermsOfServiceUrl()).toBe(new URL('/terms', ca.directoryUrl).href)
    await expect(client.createAccount()).rejects.toThrow('terms of service')
  })

  test('keeps the contact it was made with until it gets another', async () => {
    const ca = await startCa()
    const { client } = await clientOf(ca)
    const made = await client.createAccount({
      termsOfServiceAgreed: true,
      contact: ['mailto:a@example.test'],
    })
    const changed = await client.updateAccount({ contact: ['mailto:b@example.test'] })
    expect([made, changed, await client.updateAccount()].map(({ contact }) => contact)).toEqual([
      ['mailto:a@example.test'],
      ['mailto:b@example.test'],
      ['mailto:b@example.test'],
    ])
  })

  test('takes mail addresses only as contact', async () => {
    const ca = await startCa()
    const { client } = await clientOf(ca)
    for (const [url, detail] of [
      ['tel:+123456', 'not a mailto URL'],
      ['mailto:nobody', 'not one plain mail address'],
    ] as const) {
      const made = client.createAccount({ termsOfServiceAgreed: true, contact: [url] })
      await expect(made).rejects.toThrow(detail)
    }
  })

  test('can do nothing any more once it is deactivated', async () => {
    const ca = await startCa()
    const t = await registered(ca)
    const url = t.client.getAccountUrl()
    expect((await post(t, url, { status: 'deactivated' })).data.status).toBe('deactivated')
    expect(await post(t, url)).toMatchObject({
      status: 401,
      data: { type: 'urn:ietf:params:acme:error:unauthorized' },
    })
  })

  test('lists its orders, and cannot be read by another account', async () => {
    const ca = await startCa()
    const [t, other] = [await registered(ca), await registered(ca)]
    const { order } = await newOrder(t, ['example.test'])
    const { data } = await post(t, t.client.getAccountUrl())
    expect((await post(t, data.orders as string)).data).toEqual({ orders: [order.url] })
    for (const url of [t.client.getAccountUrl(), data.orders as string]) {
      expect((await post(other, url)).status).toBe(403)
    }
  })
})

describe('an external account binding', () => {
  const hmacKey = randomBytes(32).toString('base64url')
  const otherKey = randomBytes(32).toString('base64url')

  test('is asked for in the directory, and makes an account', async () => {
    const ca = await startCa({ externalAccounts: { 'kid-1': hmacKey } })
    const t = await registered(ca, { externalAccountBinding: { kid: 'kid-1', hmacKey } })
    expect((await t.http.request(ca.directoryUrl, 'get')).data.meta).toMatchObject({
      externalAccountRequired: true,
    })
    expect((await post(t, t.client.getAccountUrl())).data.externalAccountBinding).toMatchObject({
      signature: expect.any(String),
    })
  })

  test.each([
    ['is missing', undefined, 'must be bound'],
    ['is of an unknown account', { kid: 'kid-2', hmacKey }, 'not known'],
    ['was made with another key', { kid: 'kid-1', hmacKey: otherKey }, 'does not verify'],
  ])('makes no account when it %s', async (_, externalAccountBinding, detail) => {
    const ca = await startCa({ externalAccounts: { 'kid-1': hmacKey } })
    const { client } = await clientOf(ca, externalAccountBinding && { externalAccountBinding })
    await expect(client.createAccount({ termsOfServiceAgreed: true })).rejects.toThrow(detail)
    expect(ca.counts.accounts).toBe(0)
  })

  test('for another account key makes no account', async () => {
    const ca = await startCa({ externalAccounts: { 'kid-1': hmacKey } })
    const binding = { externalAccountBinding: { kid: 'kid-1', hmacKey } }
    const [owner, thief] = [await registered(ca, binding), await clientOf(ca)]
    const { externalAccountBinding } = (await post(owner, owner.client.getAccountUrl())).data
    const stolen = await thief.http.signedRequest(await thief.http.getResourceUrl('newAccount'), {
      termsOfServiceAgreed: true,
      externalAccountBinding,
    })
    expect(stolen).toMatchObject({ status: 400, data: { detail: 'The binding is for another account key' } })
  })
})
