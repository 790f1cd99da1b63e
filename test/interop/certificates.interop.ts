import { createPrivateKey, generateKeyPairSync } from 'node:crypto'
import { expect, test } from 'vitest'
import { decodeBundle, encodeBundle } from '../../src/certificates/certificate-bundle.js'
import { exportKey } from '../../src/certificates/private-key.js'
import { makeBundle, makeKey } from '../support/certificates.js'
import { handshake } from '../support/tls.js'
import { onlyRsa, openSite } from './site.js'

const host = 'shop.example'

test.each([
  ['ECDSA', 'ecdsa-p256', {}, host],
  ['RSA', 'rsa-2048', onlyRsa, `${host}+rsa`],
] as const)('%s: Node serves Go’s certificate, without another order', async (_, keyType, client, key) => {
  await using site = await openSite()
  const go = await site.goServer()
  site.validateAt(go)
  const { serialNumber } = await handshake(go.tlsPort, host, client)
  await expect.poll(() => site.names()).toEqual(['acme_account+key', key])

  const node = await site.node({ keyType })
  const options = { ca: site.ca.rootCertificate, rejectUnauthorized: true }
  expect(await handshake(node.tlsPort, host, options)).toMatchObject({ serialNumber, authorized: true })
  expect(node.events).toEqual(['loaded'])
  expect(site.ca.counts.orders).toBe(1)
})

test.each([
  ['ECDSA', 'ecdsa-p256', {}, host],
  ['RSA', 'rsa-2048', onlyRsa, `${host}+rsa`],
] as const)('%s: Go serves Node’s certificate, without another order', async (_, keyType, client, key) => {
  await using site = await openSite()
  const node = await site.node({ keyType })
  site.validateAt(node)
  const { serialNumber } = await handshake(node.tlsPort, host)
  expect(await site.names()).toEqual(['acme_account+key', key])

  const go = await site.goServer()
  const options = { ca: site.ca.rootCertificate, rejectUnauthorized: true, ...client }
  expect(await handshake(go.tlsPort, host, options)).toMatchObject({ serialNumber, authorized: true })
  expect(site.ca.counts.orders).toBe(1)
})

test.each([
  ['ECDSA', {}, host],
  ['RSA', onlyRsa, `${host}+rsa`],
] as const)('%s: Node writes the same bytes as autocert', async (_, client, key) => {
  await using site = await openSite()
  const go = await site.goServer()
  site.validateAt(go)
  await handshake(go.tlsPort, host, client)
  const stored = Buffer.from((await site.cache.get(key))!)
  expect(await site.go.get(key)).toEqual(stored)
  expect(writtenByNode(stored.toString())).toEqual(stored)
  const account = Buffer.from((await site.cache.get('acme_account+key'))!).toString()
  expect(exportKey(createPrivateKey(account))).toBe(account)
})

test.each(['ec', 'rsa'] as const)(
  'Go’s encoders write the same bytes as Node for a key of type %s',
  async (keyType) => {
    await using site = await openSite()
    const { key, chain, data } = await makeBundle({ keyType })
    const pkcs8 = key.export({ format: 'pem', type: 'pkcs8' }).toString()
    expect(await site.go.encode(pkcs8 + chain + chain)).toEqual(Buffer.from(encodeBundle(key, chain + chain)))
    expect(await site.go.encode(pkcs8 + chain)).toEqual(Buffer.from(data))
  },
)

test('Go’s encoders write the same bytes as Node for an EC key that begins with a zero byte', async () => {
  await using site = await openSite()
  let key = makeKey()
  while (Buffer.from(key.export({ format: 'jwk' }).d!, 'base64url')[0] !== 0) {
    key = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
  }
  const pkcs8 = key.export({ format: 'pem', type: 'pkcs8' }).toString()
  expect(await site.go.encode(pkcs8)).toEqual(Buffer.from(encodeBundle(key, '')))
})

test('Go and Node get the values that the other puts', async () => {
  await using site = await openSite()
  const data = Buffer.from(Array.from({ length: 3_000 }, (_, index) => index % 256))
  await site.go.put('by-go.example', data)
  expect(Buffer.from((await site.cache.get('by-go.example'))!)).toEqual(data)
  await site.cache.put('by-node.example', data)
  expect(await site.go.get('by-node.example')).toEqual(data)
  await expect(site.go.get('by-nobody.example')).rejects.toThrow(/cache miss/)
})

test('Go ignores the locks, failure records and renewal times of Node', async () => {
  await using site = await openSite()
  // The CA reaches no server, so Node fails and stores a failure record.
  const node = await site.node()
  await expect(node.manager.getCertificate(host)).rejects.toThrow(/refused/)
  await site.cache.put(`${host}+renewal`, Buffer.from('{"serialNumber":"01","window":null,"askAt":0}'))
  const lock = (await site.cache.tryLock(host))!
  const ours = [`${host}+failure`, `${host}+lock`, `${host}+renewal`]
  expect(await site.names()).toEqual(['acme_account+key', ...ours])
  const before = await Promise.all(ours.map((key) => site.cache.get(key)))

  const go = await site.goServer()
  site.validateAt(go)
  const { serialNumber } = await handshake(go.tlsPort, host)
  await expect.poll(() => site.names()).toEqual(['acme_account+key', host, ...ours])
  expect(await Promise.all(ours.map((key) => site.cache.get(key)))).toEqual(before)
  expect(lock.signal.aborted).toBe(false)
  await lock.release()
  const restarted = await site.goServer()
  expect(await handshake(restarted.tlsPort, host)).toMatchObject({ serialNumber })
  // Node serves the certificate despite the failure record, once it reads the store again after 5 s.
  const served = () => handshake(node.tlsPort, host).catch(() => undefined)
  await expect.poll(served, { timeout: 120_000 }).toMatchObject({ serialNumber })
  expect(node.events).toEqual(['issuanceFailed', 'loaded'])
  expect(site.ca.counts.orders).toBe(2)
})

/** Decodes a bundle, and encodes its key and chain again. */
function writtenByNode(pem: string): Buffer {
  const bundle = decodeBundle(Buffer.from(pem))
  if ('fault' in bundle) throw new Error(bundle.fault)
  return Buffer.from(encodeBundle(createPrivateKey(bundle.key), bundle.chain))
}
