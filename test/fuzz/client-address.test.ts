import { isIP } from 'node:net'
import fc from 'fast-check'
import { expect } from 'vitest'
import { checkAddressList, clientAddress } from '../../src/server/client-address.js'
import { property } from './support.js'

const trusted = checkAddressList('proxies', ['10.0.0.0/8', 'fd00::/8'])
const isTrusted = (address: string) => /^10\.|^fd/i.test(address)

const addresses = fc.oneof(
  fc.ipV4(),
  fc.ipV6(),
  fc.ipV4().map((ip) => ip.replace(/^\d+/, '10')),
  fc.constant('fd00::1'),
)
const entries = fc.oneof(
  { weight: 5, arbitrary: addresses },
  addresses.map((address) => `[${address}]:80`),
  addresses.map((address) => `${address}:80`),
  fc.constantFrom(
    'unknown',
    '',
    ' ',
    '_hidden',
    '::ffff:10.1.2.3',
    '::ffff:10.1.2.3%eth0',
    '%',
    '1.2.3.4%0',
    '[',
    '[]',
  ),
  fc.string({ unit: 'binary', maxLength: 12 }),
)
const headers = fc.array(entries, { maxLength: 6 }).map((list) => list.join(','))

property(
  'whatever X-Forwarded-For contains, the client has an IP address',
  3_000,
  fc.tuple(addresses, headers),
  ([peer, forwarded]) => {
    const req = { headers: { 'x-forwarded-for': forwarded }, socket: { remoteAddress: peer } }
    const client = clientAddress(req, trusted) ?? expect.unreachable()
    expect(isIP(client)).not.toBe(0)
    if (!isTrusted(peer)) expect(clientAddress({ ...req, headers: {} }, trusted)).toBe(client)
  },
)

property(
  'what a client puts into X-Forwarded-For does not change its address behind a trusted proxy',
  3_000,
  fc.tuple(
    fc.ipV4(),
    headers,
    fc.array(fc.constantFrom('10.0.0.2', 'fd00::2', '::ffff:10.0.0.3'), { maxLength: 3 }),
  ),
  ([client, forged, proxies]) => {
    fc.pre(!isTrusted(client))
    const forwarded = [forged, client, ...proxies].join(', ')
    const req = { headers: { 'x-forwarded-for': forwarded }, socket: { remoteAddress: '::ffff:10.0.0.1' } }
    expect(clientAddress(req, trusted)).toBe(client)
  },
)

property(
  'any value as a list of proxies is a list, or a TypeError that names the option',
  2_000,
  fc.oneof(fc.array(fc.oneof(entries, fc.anything({ withBigInt: true }))), fc.anything({ withBigInt: true })),
  (value) => {
    try {
      checkAddressList('trustedProxies', value)
    } catch (thrown) {
      expect(thrown).toBeInstanceOf(TypeError)
      expect((thrown as Error).message).toMatch(/^trustedProxies/)
    }
  },
)
