import { isIP } from 'node:net'
import { domainToASCII, domainToUnicode } from 'node:url'
import { HostError } from '../util/errors.js'

/** A DNS name that a public CA issues certificates for, as it appears in them. Only `normalizeHost` makes one. */
export type Host = string & { readonly _: 'Host' }

const labelPattern = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/
/** RFC 1035 section 2.3.4 allows 255 octets on the wire, which is 253 characters. */
const maxNameLength = 253

/**
 * Normalises a server name to the form used in certificates and cache keys: lower case, IDNA A-labels, one trailing dot
 * removed.
 *
 * Returns `undefined` if a public CA would not issue a certificate for the name, or if the name would be ambiguous in a
 * cache key: an IP address, a single label, `_`, `*`, `:`, an empty or over-long label, or any other invalid character.
 */
export function normalizeHost(name: string): Host | undefined {
  if (typeof name !== 'string' || name.length > 2 * maxNameLength) return undefined
  const bare = name.endsWith('.') ? name.slice(0, -1) : name
  // domainToASCII would decode %2e and drop a tab, so check first.
  if (!/^[a-z0-9.\P{ASCII}-]+$/iu.test(bare)) return undefined
  const ascii = /\P{ASCII}/u.test(bare) ? domainToASCII(bare) : bare.toLowerCase()
  if (ascii.length > maxNameLength || isIP(ascii) !== 0) return undefined
  const labels = ascii.split('.')
  if (labels.length < 2 || !labels.every((label) => labelPattern.test(label))) return undefined
  // URL parsers take a name with a numeric last label, decimal or hexadecimal, for an IPv4 address.
  if (/^(?:\d+|0x[0-9a-f]*)$/.test(labels.at(-1) as string)) return undefined
  return labels.every(hasValidEncoding) ? (ascii as Host) : undefined
}

/** Returns whether an `xn--` label round-trips: an invalid one decodes to nothing (Node 20) or to itself (Node 22+). */
function hasValidEncoding(label: string): boolean {
  if (!label.startsWith('xn--')) return true
  const decoded = domainToUnicode(label)
  return /\P{ASCII}/u.test(decoded) && domainToASCII(decoded) === label
}

/**
 * Names that no public resolver knows: RFC 6761 (`localhost`, `test`, `invalid`), RFC 6762 (`local`), RFC 7686 (`onion`),
 * RFC 8375 (`home.arpa`), and `internal`, which ICANN has reserved for private use.
 */
const reservedNames = /(?:^|\.)(?:localhost|local|internal|home\.arpa|test|invalid|onion)$/

/** Returns whether a normalised name is under a reserved one, for which Let's Encrypt issues no certificates. */
export const isReserved = (host: string): boolean => reservedNames.test(host)

/**
 * Normalises a server name.
 * @throws {HostError} `ERR_HOST_NAME` if it is not a DNS name that a public CA issues certificates for
 */
export function requireHost(name: string): Host {
  const host = normalizeHost(name)
  if (host !== undefined) return host
  const shown = typeof name === 'string' ? name.slice(0, 80) : typeof name
  throw new HostError('ERR_HOST_NAME', shown, `invalid host name: ${explainHost(name)}`)
}

/** Says why a host name is invalid, for a message. */
export function explainHost(name: unknown): string {
  if (typeof name !== 'string') return `expected a string, not a value of type ${typeof name}`
  const shown = JSON.stringify(name.slice(0, 80))
  if (isIP(name) !== 0) return `${shown} is an IP address. Use a DNS name.`
  if (name.includes('*')) return `${shown} is a wildcard. Use a DNS name without "*".`
  return `${shown} is not a valid DNS name. Use two or more labels of letters, digits and hyphens.`
}

/** Says why a name is refused if {@link isReserved} returns true, for a message. */
export const explainReserved = (host: string): string =>
  `${JSON.stringify(host)} is reserved for private networks: Let's Encrypt issues no certificates for it. Use a public DNS name, or set acme.directoryUrl to another CA.`
