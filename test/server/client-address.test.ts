import { expect, test } from 'vitest'
import { checkAddressList, clientAddress, dottedAddress } from '../../src/server/client-address.js'

const proxies = checkAddressList('proxies', ['10.0.0.0/8', '192.0.2.1', 'fd00::/8', '2001:db8::1'])

const addressOf = (remoteAddress: string | undefined, forwarded?: string | string[], list = proxies) =>
  clientAddress({ headers: { 'x-forwarded-for': forwarded }, socket: { remoteAddress } }, list)

test.each([
  ['no header', '10.0.0.1', undefined, '10.0.0.1'],
  ['an empty header', '10.0.0.1', '', '10.0.0.1'],
  ['one address', '10.0.0.1', '203.0.113.7', '203.0.113.7'],
  ['an address that the client has invented', '10.0.0.1', '198.51.100.9, 203.0.113.7', '203.0.113.7'],
  ['a proxy that the client has invented', '10.0.0.1', '10.0.0.9, 203.0.113.7', '203.0.113.7'],
  ['two proxies', '10.0.0.1', '198.51.100.9, 203.0.113.7, 10.1.2.3', '203.0.113.7'],
  ['proxies of both families', 'fd00::1', '203.0.113.7,fd12::9 , 192.0.2.1', '203.0.113.7'],
  ['trusted addresses alone', '10.0.0.1', '10.9.9.9, 10.0.0.2', '10.9.9.9'],
  ['a peer that is not trusted', '203.0.113.1', '198.51.100.9', '203.0.113.1'],
  ['an address that is almost trusted', '192.0.2.2', '198.51.100.9', '192.0.2.2'],
  ['a mapped peer', '::ffff:10.0.0.1', '203.0.113.7', '203.0.113.7'],
  ['a mapped peer that is not trusted', '::ffff:203.0.113.1', '198.51.100.9', '203.0.113.1'],
  ['a mapped client', '10.0.0.1', '::ffff:203.0.113.7', '203.0.113.7'],
  ['a mapped client in hexadecimal', '10.0.0.1', '::FFFF:cb00:7107', '203.0.113.7'],
  ['a mapped proxy', '10.0.0.1', '203.0.113.7, ::ffff:10.0.0.2', '203.0.113.7'],
  ['a port', '10.0.0.1', '203.0.113.7:51234', '203.0.113.7'],
  ['an IPv6 address', '10.0.0.1', '2001:DB8::7', '2001:db8::7'],
  ['an IPv6 address in brackets', '10.0.0.1', '[2001:db8::7]', '2001:db8::7'],
  ['an IPv6 address and a port', '10.0.0.1', '[2001:db8::7]:51234', '2001:db8::7'],
  ['an IPv6 address with a zone', '10.0.0.1', 'fe80::1%eth0', 'fe80::1'],
  ['a name', '10.0.0.1', '203.0.113.7, unknown', '10.0.0.1'],
  ['a name left of a proxy', '10.0.0.1', '203.0.113.7, unknown, 10.0.0.2', '10.0.0.2'],
  ['a trailing comma', '10.0.0.1', '203.0.113.7,', '10.0.0.1'],
  ['an address with characters after it', '10.0.0.1', '203.0.113.7;x', '10.0.0.1'],
  ['a leading zero', '10.0.0.1', '203.0.113.07', '10.0.0.1'],
  ['several headers', '10.0.0.1', ['198.51.100.9', '203.0.113.7, 10.0.0.2'], '203.0.113.7'],
] as const)('the client behind %s', (_, peer, forwarded, client) => {
  expect(addressOf(peer, forwarded as string | string[] | undefined)).toBe(client)
})

test('without a list, the client has the address of the connection, whatever the header says', () => {
  const req = { headers: { 'x-forwarded-for': '203.0.113.7' }, socket: { remoteAddress: '::ffff:10.0.0.1' } }
  expect(clientAddress(req, undefined)).toBe('10.0.0.1')
})

test('a peer without an address, such as a Unix socket or a session that has ended, is not trusted', () => {
  expect(addressOf(undefined, '203.0.113.7')).toBeUndefined()
  for (const socket of [null, undefined])
    expect(
      clientAddress(
        { headers: { 'x-forwarded-for': '203.0.113.7' }, ...(socket === null && { socket }) },
        proxies,
      ),
    ).toBeUndefined()
  const ended = {
    headers: {},
    get socket(): never {
      throw new Error('ERR_HTTP2_SOCKET_UNBOUND')
    },
  }
  expect(clientAddress(ended, proxies)).toBeUndefined()
})

test.each([
  ['0.0.0.0/0', '203.0.113.1', true],
  ['::/0', '2001:db8::9', true],
  ['10.0.0.1/32', '10.0.0.1', true],
  ['10.0.0.1/32', '10.0.0.2', false],
  ['10.0.0.7/8', '10.200.0.1', true],
  [' 10.0.0.1 ', '10.0.0.1', true],
  ['::1', '::1', true],
  ['FD00::/8', 'fdff::1', true],
  ['fd00::/8', 'fe00::1', false],
  ['::ffff:10.0.0.1', '10.0.0.1', true],
  ['::ffff:10.0.0.0/104', '10.1.2.3', true],
  ['::ffff:10.0.0.0/104', '11.1.2.3', false],
  ['::ffff:10.0.0.1/128', '10.0.0.1', true],
])('a list of %j and the proxy %s: trusted is %s', (entry, peer, isTrusted) => {
  const list = checkAddressList('proxies', [entry])
  expect(addressOf(peer, '198.51.100.9', list) !== peer).toBe(isTrusted)
  if (!peer.includes(':')) expect(addressOf(`::ffff:${peer}`, '198.51.100.9', list) !== peer).toBe(isTrusted)
})

test.each([
  '10.0.0',
  '10.0.0.256',
  '10.0.0.0/33',
  '10.0.0.0/-1',
  '10.0.0.0/',
  '10.0.0.0/8/8',
  '10.0.0.0/8 ,10.1.0.0/16',
  '10.0.0.1-10.0.0.9',
  '10.*',
  'fd00::/129',
  'fd00::/1.5',
  ':::',
  'proxy.example.com',
  'loopback',
])('the entry "%s" is neither an address nor a network, and the error quotes it', (entry) => {
  const check = () => checkAddressList('proxies', ['10.0.0.1', entry])
  expect(check).toThrow(TypeError)
  expect(check).toThrow(`proxies contains ${JSON.stringify(entry)}. Use IP addresses and networks in CIDR`)
})

test('a long entry is shortened in the error', () => {
  expect(() => checkAddressList('proxies', ['x'.repeat(1_000)])).toThrow(/^.{80,250}$/)
})

test.each([
  ['::ffff:192.0.2.1', '192.0.2.1'],
  ['192.0.2.1', '192.0.2.1'],
  ['2001:db8::1', '2001:db8::1'],
  ['::ffff:0:1', '::ffff:0:1'],
  [undefined, undefined],
])('the dotted form of %s is %s', (address, dotted) => {
  expect(dottedAddress(address)).toBe(dotted)
})
