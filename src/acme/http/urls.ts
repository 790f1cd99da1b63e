/** The members of a directory, order, authorization or challenge that hold a URL (RFC 8555 section 7.1). */
const urlMembers = new Set([
  'newNonce',
  'newAccount',
  'newOrder',
  'renewalInfo',
  'finalize',
  'certificate',
  'url',
])
/** The members that hold a list of URLs or of objects with URLs. */
const listMembers = new Set(['authorizations', 'challenges'])

/**
 * Returns a resource whose URLs are absolute. RFC 8555 requires absolute URLs (RFC 8288 and RFC 9110 section 10.2.2 allow
 * relative ones in headers), but a CA behind a proxy may send relative ones.
 */
export function withAbsoluteUrls(resource: unknown, base: string): unknown {
  if (typeof resource !== 'object' || resource === null) return resource
  if (Array.isArray(resource)) return resource
  const entries = Object.entries(resource).map(([member, value]: [string, unknown]) => {
    if (urlMembers.has(member)) return [member, absoluteUrl(value, base)]
    if (!listMembers.has(member) || !Array.isArray(value)) return [member, value]
    const items: unknown[] = value
    return [
      member,
      items.map((item) =>
        typeof item === 'string' ? absoluteUrl(item, base) : withAbsoluteUrls(item, base),
      ),
    ]
  })
  return Object.fromEntries(entries)
}

/** Returns headers whose URLs are absolute. */
export function withAbsoluteHeaders<T extends Readonly<Record<string, string | undefined>>>(
  headers: T,
  base: string,
): T {
  const { location, link } = headers
  return {
    ...headers,
    ...(location !== undefined && { location: absoluteUrl(location, base) }),
    ...(link !== undefined && {
      link: link.replace(/<([^>]*)>/g, (_, url: string) => `<${absoluteUrl(url, base)}>`),
    }),
  }
}

/** Leaves an absolute URL as it is, byte for byte: the CA compares it with the one in the signature. */
function absoluteUrl<T>(url: T, base: string): T | string {
  if (typeof url !== 'string' || /^[a-z][\w+.-]*:/i.test(url) || !URL.canParse(url, base)) return url
  return new URL(url, base).href
}
