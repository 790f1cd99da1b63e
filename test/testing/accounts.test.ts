import { randomBytes } from 'node:crypto'
import * as acme from 'acme-client'
import { describe, expect, test } from 'vitest'
import { newOrder, post, registered, startCa, useCa, userOf } from './acme-user.js'

const shared = useCa()

describe('an account', () => {
  test('is created once for a key, by any number of requests', async () => {
    const { ca } = shared
    const accountsBefore = ca.counts.accounts
    const accountKey = await acme.crypto.createPrivateEcdsaKey()
    const [first, second] = [await registered(ca, { accountKey }), await userOf(ca, { accountKey })]
    const contact = ['mailto:ops@example.test']
    // acme-client updates the existing account.
    await second.client.createAccount({ termsOfServiceAgreed: true, contact })
    expect(second.client.getAccountUrl()).toBe(first.client.getAccountUrl())
    const emptyUpdate = post(first, first.client.getAccountUrl(), {})
    await expect(emptyUpdate).resolves.toMatchObject({ status: 400, data: { detail: /nothing to update/ } })
    expect(ca.counts.accounts).toBe(accountsBefore + 1)
    await registered(ca)
    expect(ca.counts.accounts).toBe(accountsBefore + 2)
  })

  test('is not created with onlyReturnExisting', async () => {
    const { ca } = shared
    const accountsBefore = ca.counts.accounts
    const accountKey = await acme.crypto.createPrivateEcdsaKey()
    const { client } = await userOf(ca, { accountKey })
    await expect(client.createAccount({ onlyReturnExisting: true })).rejects.toThrow(
      'no account with this key',
    )
    expect(ca.counts.accounts).toBe(accountsBefore)
    const { client: owner } = await registered(ca, { accountKey })
    await client.createAccount({ onlyReturnExisting: true })
    expect(client.getAccountUrl()).toBe(owner.getAccountUrl())
  })

  test('requires agreement to the terms of service', async () => {
    const { ca } = shared
    const { client } = await userOf(ca)
    expect(await client.getTermsOfServiceUrl()).toBe(new URL('/terms', ca.directoryUrl).href)
    await expect(client.createAccount()).rejects.toThrow('terms of service')
  })

  test('keeps its contact until the contact is updated', async () => {
    const { ca } = shared
    const { client } = await userOf(ca)
    const created = await client.createAccount({
      termsOfServiceAgreed: true,
      contact: ['mailto:a@example.test'],
    })
    const changed = await client.updateAccount({ contact: ['mailto:b@example.test'] })
    expect([created, changed, await client.updateAccount()].map(({ contact }) => contact)).toEqual([
      ['mailto:a@example.test'],
      ['mailto:b@example.test'],
      ['mailto:b@example.test'],
    ])
  })

  test('accepts only mail addresses as contact', async () => {
    const { ca } = shared
    const { client } = await userOf(ca)
    for (const [url, detail] of [
      ['tel:+123456', 'not a mailto URL'],
      ['mailto:nobody', 'not a single mail address'],
    ] as const) {
      const creation = client.createAccount({ termsOfServiceAgreed: true, contact: [url] })
      await expect(creation).rejects.toThrow(detail)
    }
  })

  test('is unauthorized after it was deactivated', async () => {
    const user = await registered(shared.ca)
    const url = user.client.getAccountUrl()
    expect((await post(user, url, { status: 'deactivated' })).data.status).toBe('deactivated')
    expect(await post(user, url)).toMatchObject({
      status: 401,
      data: { type: 'urn:ietf:params:acme:error:unauthorized' },
    })
  })

  test('is not created again, or found, with a key whose account was deactivated', async () => {
    const { ca } = shared
    const user = await registered(ca)
    await post(user, user.client.getAccountUrl(), { status: 'deactivated' })
    const accountsBefore = ca.counts.accounts
    const creation = user.http.signedRequest(await user.http.getResourceUrl('newAccount'), {
      termsOfServiceAgreed: true,
    })
    expect(await creation).toMatchObject({
      status: 403,
      data: { type: 'urn:ietf:params:acme:error:unauthorized' },
    })
    expect(ca.counts.accounts).toBe(accountsBefore)
  })

  test('is created with status 201 and found with 200, and the reply names its URL', async () => {
    const { http } = await userOf(shared.ca)
    const create = async () =>
      http.signedRequest(await http.getResourceUrl('newAccount'), { termsOfServiceAgreed: true })
    const [created, found] = [await create(), await create()]
    expect([created.status, found.status]).toEqual([201, 200])
    expect(created.headers.location).toMatch(/\/account\/\d+$/)
    expect(found.headers.location).toBe(created.headers.location)
  })

  test('without the agreement gets a link to the terms of service', async () => {
    const { http } = await userOf(shared.ca)
    const terms = new URL('/terms', shared.ca.directoryUrl).href
    expect(await http.signedRequest(await http.getResourceUrl('newAccount'), {})).toMatchObject({
      status: 403,
      headers: { link: expect.stringContaining(`<${terms}>;rel="terms-of-service"`) },
      data: { type: 'urn:ietf:params:acme:error:userActionRequired', instance: terms },
    })
  })

  test('refuses an unknown status and a contact that is not a list of strings', async () => {
    const user = await registered(shared.ca)
    for (const update of [{ status: 'revoked' }, { contact: 'mailto:a@example.test' }, { contact: [1] }]) {
      const { status, data } = await post(user, user.client.getAccountUrl(), update)
      expect({ update, status, type: data.type }).toEqual({
        update,
        status: 400,
        type: 'urn:ietf:params:acme:error:malformed',
      })
    }
  })

  test('lists its orders, and cannot be read by another account', async () => {
    const { user } = shared
    const other = await registered(shared.ca)
    const { order } = await newOrder(user, ['example.test'])
    const { data } = await post(user, user.client.getAccountUrl())
    expect((await post(user, data.orders as string)).data).toEqual({ orders: [order.url] })
    for (const url of [user.client.getAccountUrl(), data.orders as string]) {
      expect((await post(other, url)).status).toBe(403)
    }
  })
})

describe('an external account binding', () => {
  const hmacKey = randomBytes(32).toString('base64url')
  const otherKey = randomBytes(32).toString('base64url')

  test('is announced in the directory, and creates an account', async () => {
    const ca = await startCa({ externalAccounts: { 'kid-1': hmacKey } })
    const user = await registered(ca, { externalAccountBinding: { kid: 'kid-1', hmacKey } })
    expect((await user.http.request(ca.directoryUrl, 'get')).data.meta).toMatchObject({
      externalAccountRequired: true,
    })
    expect((await post(user, user.client.getAccountUrl())).data.externalAccountBinding).toMatchObject({
      signature: expect.any(String),
    })
  })

  test.each([
    ['is missing', undefined, 'must be bound'],
    ['is for an unknown account', { kid: 'kid-2', hmacKey }, 'not known'],
    ['was signed with another key', { kid: 'kid-1', hmacKey: otherKey }, 'does not verify'],
  ])('creates no account when it %s', async (_, externalAccountBinding, detail) => {
    const ca = await startCa({ externalAccounts: { 'kid-1': hmacKey } })
    const { client } = await userOf(ca, externalAccountBinding && { externalAccountBinding })
    await expect(client.createAccount({ termsOfServiceAgreed: true })).rejects.toThrow(detail)
    expect(ca.counts.accounts).toBe(0)
  })

  test('for another account key creates no account', async () => {
    const ca = await startCa({ externalAccounts: { 'kid-1': hmacKey } })
    const binding = { externalAccountBinding: { kid: 'kid-1', hmacKey } }
    const [owner, thief] = [await registered(ca, binding), await userOf(ca)]
    const { externalAccountBinding } = (await post(owner, owner.client.getAccountUrl())).data
    const stolen = await thief.http.signedRequest(await thief.http.getResourceUrl('newAccount'), {
      termsOfServiceAgreed: true,
      externalAccountBinding,
    })
    expect(stolen).toMatchObject({ status: 400, data: { detail: 'The binding is for another account key' } })
  })
})
