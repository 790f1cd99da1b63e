import type { Json } from './jws.js'
import { Problem } from './problem.js'

const labelPattern = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/

/**
 * Returns the DNS names of a newOrder payload in lower case, without duplicates. RFC 8555 §7.1.3.
 * @throws Problem malformed, unsupportedIdentifier or rejectedIdentifier
 */
export function parseIdentifiers({ identifiers }: Json): string[] {
  if (!Array.isArray(identifiers) || identifiers.length === 0) {
    throw new Problem('malformed', 'An order needs identifiers')
  }
  return [...new Set(identifiers.map(parseIdentifier))]
}

function parseIdentifier(identifier: unknown): string {
  const { type, value } = Object(identifier)
  if (typeof type !== 'string' || typeof value !== 'string') {
    throw new Problem('malformed', 'An identifier must have the strings type and value')
  }
  if (type !== 'dns')
    throw new Problem('unsupportedIdentifier', `Identifiers of type ${type} are not supported`)
  const name = value.toLowerCase()
  const labels = name.split('.')
  const isDnsName =
    name.length <= 253 && labels.length > 1 && labels.every((label) => labelPattern.test(label))
  // A numeric last label would make it an IPv4 address.
  if (!isDnsName || /^\d+$/.test(labels.at(-1)!)) {
    throw new Problem('rejectedIdentifier', `No certificate can be issued for ${JSON.stringify(value)}`)
  }
  return name
}
