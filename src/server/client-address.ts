import { BlockList, isIP, SocketAddress } from 'node:net'
import { nonEmptyStrings } from '../util/validate.js'
import type { HttpRequest } from './http-request.js'

/**
 * Returns a list of the addresses in `value`: IP addresses and networks in CIDR notation (RFC 4632 section 3.1, RFC 4291
 * section 2.3), at least one.
 * @throws {TypeError} quoting the entry that is neither
 */
export function checkAddressList(name: string, value: unknown): BlockList {
  const list = new BlockList()
  for (const entry of nonEmptyStrings(name, value)) {
    const network = parseNetwork(entry)
    if (!network) {
      const shown = JSON.stringify(entry.slice(0, 80))
      throw new TypeError(
        `${name} contains ${shown}. Use IP addresses and networks in CIDR notation, such as "10.0.0.0/8" or "fd00::/8".`,
      )
    }
    list.addSubnet(network.address, network.prefix, familyOf(network.address))
  }
  return list
}

/**
 * Returns the IP address of the client that sent a request: the address of the peer or, if the peer is trusted, the
 * right-most address in `X-Forwarded-For` that is not trusted. If all are trusted, it is the left-most. Addresses left of
 * an entry that is not an IP address are not read. `undefined` if the peer has no address.
 */
export function clientAddress(req: HttpRequest, trusted: BlockList | undefined): string | undefined {
  let client = dottedAddress(peerAddress(req))
  if (!trusted || client === undefined) return client
  const entries = String(req.headers['x-forwarded-for'] ?? '').split(',')
  while (isTrusted(trusted, client)) {
    const forwarded = parseForwarded(entries.pop())
    if (forwarded === undefined) break
    client = forwarded
  }
  return client
}

/** Returns an IPv4-mapped IPv6 address, the form in which a dual-stack socket has IPv4 addresses, in dotted form. */
export const dottedAddress = (address: string | undefined): string | undefined =>
  address?.startsWith('::ffff:') && isIP(address.slice(7)) === 4 ? address.slice(7) : address

/** Http2ServerRequest throws if the session has ended. */
function peerAddress(req: HttpRequest): string | undefined {
  try {
    return req.socket?.remoteAddress
  } catch {
    return undefined
  }
}

/** Parses an entry of `X-Forwarded-For`. Some proxies add the port, and write an IPv6 address in brackets. */
function parseForwarded(entry: string | undefined): string | undefined {
  const text = entry?.trim() ?? ''
  const [, bracketed, withPort] = /^\[(.*)\](?::\d+)?$|^([\d.]+):\d+$/.exec(text) ?? []
  return canonical(bracketed ?? withPort ?? text)
}

function parseNetwork(entry: string): { address: string; prefix: number } | undefined {
  // A zone, as in fe80::1%eth0, would be ignored.
  const [, text = '', length] = /^([^/%]*)(?:\/(\d{1,3}))?$/.exec(entry.trim()) ?? []
  const address = canonical(text)
  if (address === undefined) return undefined
  const bits = isIP(text) === 4 ? 32 : 128
  const prefix = length === undefined ? bits : Number(length)
  if (prefix > bits) return undefined
  const isMapped = isIP(address) === 4 && bits === 128
  if (!isMapped) return { address, prefix }
  return prefix >= 96 ? { address, prefix: prefix - 96 } : { address: text, prefix }
}

/** Returns an IP address without a zone, in its usual spelling, IPv4-mapped IPv6 addresses in dotted form. */
function canonical(text: string): string | undefined {
  const [address = ''] = text.split('%', 1)
  if (isIP(address) !== 6) return isIP(address) === 4 ? address : undefined
  return dottedAddress(new SocketAddress({ address, family: 'ipv6' }).address)
}

const isTrusted = (trusted: BlockList, address: string): boolean => trusted.check(address, familyOf(address))

const familyOf = (address: string) => (isIP(address) === 4 ? 'ipv4' : 'ipv6')
