import { isIP } from 'node:net'
import { domainToASCII, domainToUnicode } from 'node:url'
import { HostError } from '../util/errors.js'

const label = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/
/** RFC 1035 section 2.3.4: 255 octets on the wire are 253 characters. */
const longestName = 253

/**
 * A server name as certificates and cache keys have it: lower case, IDNA in its ASCII form, without the one
 * trailing dot it may have. `undefined` for what no public CA issues a host certificate for or what could mean
 * something else in a key: an IP address, a single label, `_`, `*`, `:`, empty or over-long labels, odd bytes.
 */
export function normalizeHost(name: string): string | undefined {
  if (typeof name !== 'string' || name.length > 2 * longestName) return undefined
  const bare = name.endsWith('.') ? name.slice(0, -1) : name
  // Checked before: domainToASCII would also decode %2e and drop a tab.
  if (!/^[a-z0-9.\P{ASCII}-]+$/iu.test(bare)) return undefined
  const ascii = /\P{ASCII}/u.test(bare) ? domainToASCII(bare) : bare.toLowerCase()
  if (ascii.length > longestName || isIP(ascii) !== 0) return undefined
  const labels = ascii.split('.')
  if (labels.length < 2 || !labels.every((part) => label.test(part))) return undefined
  // A last label that is a number makes it an IPv4 address in the eyes of URL parsers, hexadecimal too.
  if (/^(?:\d+|0x[0-9a-f]*)$/.test(labels.at(-1) as string)) return undefined
  return labels.every(isWhatItEncodes) ? ascii : undefined
}

/** Rubbish behind `xn--` decodes to nothing (Node 20) or to itself (22 and later). */
function isWhatItEncodes(part: string): boolean {
  if (!part.startsWith('xn--')) return true
  const decoded = domainToUnicode(part)
  return /\P{ASCII}/u.test(decoded) && domainToASCII(decoded) === part
}

/** @throws {HostError} `ERR_HOST_NAME` */
export function requireHost(name: string): string {
  const host = normalizeHost(name)
  if (host !== undefined) return host
  const shown = typeof name === 'string' ? JSON.stringify(name.slice(0, 80)) : typeof name
  throw new HostError('ERR_HOST_NAME', String(shown), `${shown} is not a DNS name a CA would issue for`)
}
