import { createPrivateKey, X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { get } from 'node:https'
import { connect, createServer } from 'node:tls'
import * as acme from 'acme-client'
import { describe, expect, test } from 'vitest'
import { TestCa } from '../../src/testing/index.js'
import {
  csrFor,
  newOrder,
  obtain,
  portOf,
  post,
  readyOrder,
  registered,
  serveHttp01,
  startCa,
  useCa,
} from './acme-user.js'

const shared = useCa()

describe('a certificate of the test CA', () => {
  test('is issued after http-01, and accepted by a TLS client that trusts the root', async () => {
    const { ca, user } = shared
    const { key, pem } = await obtain(ca, user, ['example.test'])
    const port = await portOf(createServer({ key, cert: pem }))
    const socket = connect({ host: '127.0.0.1', port, servername: 'example.test', ca: ca.rootCertificate })
    await once(socket, 'secureConnect')
    expect(socket.authorized).toBe(true)
    socket.destroy()
  })

  test('is issued after tls-alpn-01', async () => {
    const { ca, user } = shared
    const { order, authzs, challenges } = await newOrder(user, ['example.test'], 'tls-alpn-01')
    const keyAuthorization = await user.client.getChallengeKeyAuthorization(challenges[0]!)
    const [key, cert] = await acme.crypto.createAlpnCertificate(
      authzs[0]!,
      keyAuthorization,
      await acme.crypto.createPrivateEcdsaKey(),
    )
    ca.tlsPort = await portOf(createServer({ key, cert, ALPNProtocols: ['acme-tls/1'] }))
    await user.client.completeChallenge(challenges[0]!)
    await user.client.waitForValidStatus(order)
    const { csr } = await csrFor(['example.test'])
    const pem = await user.client.getCertificate(await user.client.finalizeOrder(order, csr))
    expect(new X509Certificate(pem).subjectAltName).toBe('DNS:example.test')
  })

  test('has the names of the order, the key of the CSR, a chain to the root and a 16-byte serial number', async () => {
    const { ca, user } = shared
    const { key, pem } = await obtain(ca, user, ['a.example.test', 'b.example.test'])
    const [leaf, intermediate, ...rest] = pem
      .match(/-----BEGIN[^-]+-----[^-]+-----END[^-]+-----\n/g)!
      .map((block) => new X509Certificate(block))
    const root = new X509Certificate(ca.rootCertificate)
    expect(rest).toEqual([])
    expect(leaf!.subjectAltName).toBe('DNS:a.example.test, DNS:b.example.test')
    expect(leaf!.keyUsage).toEqual(['1.3.6.1.5.5.7.3.1'])
    expect(leaf!.checkPrivateKey(createPrivateKey(key))).toBe(true)
    expect(leaf!.checkIssued(intermediate!) && leaf!.verify(intermediate!.publicKey)).toBe(true)
    expect(intermediate!.checkIssued(root) && intermediate!.verify(root.publicKey)).toBe(true)
    expect(leaf!.serialNumber).toMatch(/^[4-7][0-9A-F]{31}$/)
    expect(ca.issued.at(-1)).toEqual({
      hosts: ['a.example.test', 'b.example.test'],
      serialNumber: leaf!.serialNumber,
      notBefore: Date.parse(leaf!.validFrom),
      notAfter: Date.parse(leaf!.validTo),
      pem,
    })
  })

  test('may have an RSA key', async () => {
    const { ca, user } = shared
    const order = await readyOrder(ca, user, ['example.test'])
    const [key, csr] = await acme.crypto.createCsr({ altNames: ['example.test'] })
    const pem = await user.client.getCertificate(await user.client.finalizeOrder(order, csr))
    expect(new X509Certificate(pem).checkPrivateKey(createPrivateKey(key))).toBe(true)
  })

  test('starts now by the injected clock, in whole seconds, and expires after lifetimeMs', async () => {
    const now = Date.UTC(2031, 4, 6, 7, 8, 9, 123)
    const ca = await startCa({ now: () => now, lifetimeMs: 5000 })
    const user = await registered(ca)
    const first = new X509Certificate((await obtain(ca, user, ['example.test'])).pem)
    ca.lifetimeMs = 60_000
    const second = new X509Certificate((await obtain(ca, user, ['example.test'])).pem)
    expect([first.validFrom, first.validTo]).toEqual(['May  6 07:08:09 2031 GMT', 'May  6 07:08:14 2031 GMT'])
    expect(second.validTo).toBe('May  6 07:09:09 2031 GMT')
  })
})

describe('an order', () => {
  test('goes from pending to ready to valid, and counts with its resources', async () => {
    const ca = await startCa()
    const user = await registered(ca)
    const { order: pending } = await newOrder(user, ['other.test'])
    const ready = await readyOrder(ca, user, ['example.test', 'www.example.test'])
    const valid = await user.client.finalizeOrder(
      ready,
      (await csrFor(['example.test', 'www.example.test'])).csr,
    )
    expect([pending.status, ready.status, valid.status]).toEqual(['pending', 'ready', 'valid'])
    const { requests, ...counts } = ca.counts
    expect(counts).toEqual({
      accounts: 1,
      orders: 2,
      authorizations: 3,
      validations: 2,
      certificates: 1,
      renewalInfos: 0,
    })
    expect(requests).toBeGreaterThan(10)
    expect(['www.example.test', 'other.test', 'none.test'].map((host) => ca.ordersFor(host))).toEqual([
      1, 1, 0,
    ])
  })

  test('stays pending until all its names are authorized', async () => {
    const { ca, user } = shared
    const { order, authzs, challenges } = await newOrder(user, ['a.test', 'b.test'])
    const responses = new Map<string, string>()
    await serveHttp01(ca, responses)
    const states: unknown[] = []
    for (const [i, challenge] of challenges.entries()) {
      const path = `${authzs[i]!.identifier.value}/.well-known/acme-challenge/${challenge.token}`
      responses.set(path, await user.client.getChallengeKeyAuthorization(challenge))
      await user.client.completeChallenge(challenge)
      await user.client.waitForValidStatus(challenge)
      states.push((await post(user, order.url)).data.status)
    }
    expect(states).toEqual(['pending', 'ready'])
  })

  test('stays processing for issuanceDelayMs, and sends Retry-After', async () => {
    const ca = await startCa({ retryAfter: 7, issuanceDelayMs: 2 ** 31 - 1 })
    const user = await registered(ca)
    const order = await readyOrder(ca, user, ['example.test'])
    const { csr } = await csrFor(['example.test'])
    const finalized = await user.client.finalizeOrder(order, csr)
    const polled = await post(user, order.url)
    expect([finalized.status, polled.data.status, polled.headers['retry-after']]).toEqual([
      'processing',
      'processing',
      '7',
    ])
  })

  test('becomes valid after issuanceDelayMs', async () => {
    const ca = await startCa({ issuanceDelayMs: 1 })
    const { pem } = await obtain(ca, await registered(ca), ['example.test'])
    expect(ca.issued[0]!.pem).toBe(pem)
  })

  test('expires after a week and becomes invalid', async () => {
    let now = Date.now()
    const ca = await startCa({ now: () => now })
    const user = await registered(ca)
    const { order, authzs } = await newOrder(user, ['example.test'])
    now += 7 * 86_400_000
    const [polled, authz] = [await post(user, order.url), await post(user, authzs[0]!.url)]
    expect([polled.data.status, authz.data.status]).toEqual(['invalid', 'expired'])
  })

  test('gets new authorizations for names that were authorized before', async () => {
    const { ca, user } = shared
    await obtain(ca, user, ['example.test'])
    const { authzs } = await newOrder(user, ['example.test'])
    expect(authzs.map(({ status }) => status)).toEqual(['pending'])
  })

  test('offers only the challenge types of the settings', async () => {
    const ca = await startCa({ challengeTypes: ['tls-alpn-01'] })
    const user = await registered(ca)
    const first = await newOrder(user, ['example.test'])
    ca.challengeTypes = ['http-01']
    const second = await newOrder(user, ['example.test'])
    const types = [first, second].map(({ authzs }) => authzs[0]!.challenges.map(({ type }) => type))
    expect(types).toEqual([['tls-alpn-01'], ['http-01']])
  })

  test('is unauthorized for other accounts', async () => {
    const { ca, user: owner } = shared
    const other = await registered(ca)
    const { order, authzs, challenges } = await newOrder(owner, ['example.test'])
    for (const url of [order.url, authzs[0]!.url, challenges[0]!.url, order.finalize]) {
      expect((await post(other, url)).data).toMatchObject({
        status: 403,
        type: expect.stringMatching(/:unauthorized$/),
      })
    }
  })
})

test('two CAs run at the same time and do not share a root or an endpoint certificate', async () => {
  const [first, second] = [shared.ca, await startCa()]
  const request = get(first.directoryUrl, { ca: second.endpointCertificate })
  await expect(once(request, 'response')).rejects.toThrow(/self-signed/)
  expect(first.rootCertificate).not.toBe(second.rootCertificate)
})

test('start rejects an option outside its range', async () => {
  for (const options of [
    { lifetimeMs: 999 },
    { badNonceRate: 1.1 },
    { httpPort: 0 },
    { retryAfter: -1 },
    { challengeTypes: [] },
    { challengeTypes: 'http-01' as never },
    { profiles: null as never },
    { validationDelayMs: Number.NaN },
  ]) {
    await expect(TestCa.start(options)).rejects.toThrow(RangeError)
  }
})
